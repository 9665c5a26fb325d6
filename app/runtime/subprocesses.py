"""Child processes of this installation: how they are started, and how they end with their parent."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import app

MAX_ERROR_CHARACTERS = 2_000
MAX_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""The operating system's limit for the path of a Unix socket; 103 on macOS and BSD."""

# Asks Linux to end the child when its parent ends, even by SIGKILL, so that no orphan holds a port or a data folder.
# A small program rather than a preexec_fn, which may deadlock in a process with threads, and torch starts threads.
_END_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 = PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):  # the parent ended before the request
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class ChildFailed(RuntimeError):
    """A child process ended early or never became ready; the text holds the end of its output."""


def end_with_parent(command: Sequence[str]) -> list[str]:
    """Wrap `command` so that on Linux the child receives SIGTERM when the *thread* that started it ends."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-ISc", _END_WITH_PARENT, str(os.getpid()), *command]


def build_python_command(arguments: Sequence[str], interpreter: str = sys.executable) -> list[str]:
    """Build the command line of a Python child that ends with this process."""
    # -P: a folder named `app` in the current directory must not shadow this package.
    return end_with_parent([interpreter, "-P", *arguments])


def build_child_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Copy this process's environment and add `variables` and the folder of this package on PYTHONPATH."""
    package_root = str(Path(app.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
    return {**os.environ, **(variables or {}), "PYTHONPATH": path}


def run_module(module: str, arguments: Sequence[str] = (), *, timeout_s: float, stdin: bytes | None = None) -> bytes:
    """Run a module of this installation in its own process and return its standard output.

    ChildFailed if it ends with another status than 0 or takes longer than `timeout_s` seconds.
    """
    try:
        process = subprocess.run(  # noqa: S603 - this interpreter with our own module
            build_python_command(["-m", module, *arguments]),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=build_child_environment(),
            timeout=timeout_s,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ChildFailed(f"{module} did not finish within {timeout_s:.0f} s") from error
    if process.returncode:
        output = process.stderr.decode(errors="replace")[-MAX_ERROR_CHARACTERS:].strip()
        raise ChildFailed(f"{module} ended with status {process.returncode}; the end of its output:\n{output}")
    return process.stdout


def write_output(content: bytes) -> None:
    """Write the whole of `content` to standard output, as a module run by `run_module` does.

    With PYTHONUNBUFFERED, `sys.stdout.buffer` is a raw file: a write to a pipe that a stop signal or a frozen
    container interrupts is then cut short, and the process still ends with status 0.
    """
    with open(sys.stdout.fileno(), "wb", closefd=False) as output:
        output.write(content)
