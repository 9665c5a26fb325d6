"""The processes that a benchmark starts: each on a free loopback port, watched, and ended with the benchmark.

Knows how to start, wait for and end a process and those below it. It knows no request and nothing
of what a process does.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from app.bench.resources import read_cpu_seconds
from app.runtime.subprocesses import ChildFailed, build_child_environment, build_python_command

START_S = 180.0  # loading a large artifact, on a machine that has other things to do
SETTLE_S = 60.0
STOP_S = 20.0  # longer than the service's drain
TAIL_BYTES = 4_000
LOOPBACK = "127.0.0.1"


class ChildProcess:
    """A running process. Made by `run_child`, which also ends it."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.name = name
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def check_running(self) -> None:
        """ChildFailed if it has ended."""
        if (status := self._process.poll()) is not None:
            self._end_those_below()
            raise ChildFailed(f"{self.name} ended with status {status}; the end of its output:\n{self.read_tail()}")

    def wait_until_ready(self, port: int, path: str, workers: int = 1, longest_s: float = START_S) -> None:
        """GET the path until the answer is 200, for at most `longest_s`, and then until all workers are up."""
        end = time.monotonic() + longest_s
        said = "nothing"
        while time.monotonic() < end:
            self.check_running()
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5.0)
            try:
                connection.request("GET", path)
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                said = type(error).__name__
            else:
                if status == http.HTTPStatus.OK:
                    return self._wait_until_quiet() if workers > 1 else None
                said = f"status {status}"
            finally:
                connection.close()
            time.sleep(0.1)
        raise ChildFailed(
            f"{self.name} was not ready within {longest_s:.0f} s, GET {path} gave {said}:\n{self.read_tail()}"
        )

    def _wait_until_quiet(self) -> None:
        """Until the process and those below it do next to nothing, for at most SETTLE_S.

        The first worker answers while the others still load; connections made then would all be the first one's.
        """
        end = time.monotonic() + SETTLE_S
        quiet = 0
        while quiet < 2 and time.monotonic() < end:
            before, began = read_cpu_seconds(self.pid), time.monotonic()
            time.sleep(0.5)
            self.check_running()
            after = read_cpu_seconds(self.pid)
            if before is None or after is None:
                time.sleep(2.0)  # no /proc: a guess
                return
            quiet = quiet + 1 if after - before < 0.1 * (time.monotonic() - began) else 0

    def read_tail(self) -> str:
        """The end of what it wrote."""
        length = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), TAIL_BYTES, max(0, length - TAIL_BYTES)).decode(errors="replace").strip()

    def stop(self) -> None:
        """Ask it to stop, then make it stop, and all below it. May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                pass
            finally:  # a second Ctrl-C comes through here too
                self._end_those_below()
            self._process.wait()

    def _end_those_below(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS: not permitted = only a zombie is left
            os.killpg(self.pid, signal.SIGKILL)


@contextmanager
def run_child(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    interpreter: str = sys.executable,
) -> Iterator[ChildProcess]:
    """Run a Python process, of this installation if nothing else is said: `command` are its arguments after the
    interpreter.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - this interpreter with our own arguments
            build_python_command(command, interpreter),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=build_child_environment(environment),
            start_new_session=True,  # Ctrl-C is ours alone: the children are ended in order
        )
        started = ChildProcess(name, process, log)
        try:
            yield started
        finally:
            started.stop()


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
