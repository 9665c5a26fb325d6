"""Child processes of a benchmark: started on free loopback ports, monitored, and stopped with the benchmark."""

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

START_S = 180.0  # time to load a large artifact on a busy machine
SETTLE_S = 60.0
STOP_S = 20.0  # longer than the service's drain period
POLL_S = 0.1
IDLE_WINDOW_S = 0.5
MAX_IDLE_CPU_SHARE = 0.1
GUESSED_SETTLE_S = 2.0
REQUEST_TIMEOUT_S = 5.0
TAIL_BYTES = 4_000
LOOPBACK = "127.0.0.1"


class ChildProcess:
    """A running process; created and stopped by `run_child`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.name = name
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def check_running(self) -> None:
        """Raise ChildFailed if the process has ended."""
        if (status := self._process.poll()) is not None:
            self._kill_group()
            raise ChildFailed(f"{self.name} ended with status {status}; the end of its output:\n{self.read_tail()}")

    def wait_until_ready(self, port: int, path: str, workers: int = 1, timeout_s: float = START_S) -> None:
        """Poll GET `path` until it returns 200; with several workers, also wait until all have started.

        ChildFailed after `timeout_s` or when the process ends.
        """
        deadline = time.monotonic() + timeout_s
        last_outcome = "no attempt"
        while time.monotonic() < deadline:
            self.check_running()
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=REQUEST_TIMEOUT_S)
            try:
                connection.request("GET", path)
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                last_outcome = type(error).__name__
            else:
                if status == http.HTTPStatus.OK:
                    return self._wait_until_idle() if workers > 1 else None
                last_outcome = f"status {status}"
            finally:
                connection.close()
            time.sleep(POLL_S)
        raise ChildFailed(
            f"{self.name} was not ready within {timeout_s:.0f} s, last GET {path}: {last_outcome}:\n{self.read_tail()}"
        )

    def _wait_until_idle(self) -> None:
        """Wait until the process tree uses almost no CPU, for at most SETTLE_S.

        The first worker responds while the others still load; it would accept all connections made then.
        """
        deadline = time.monotonic() + SETTLE_S
        idle_windows = 0
        while idle_windows < 2 and time.monotonic() < deadline:
            cpu_before, started_at = read_cpu_seconds(self.pid), time.monotonic()
            time.sleep(IDLE_WINDOW_S)
            self.check_running()
            cpu_after = read_cpu_seconds(self.pid)
            if cpu_before is None or cpu_after is None:
                time.sleep(GUESSED_SETTLE_S)  # no /proc, so a guess
                return
            is_idle = cpu_after - cpu_before < MAX_IDLE_CPU_SHARE * (time.monotonic() - started_at)
            idle_windows = idle_windows + 1 if is_idle else 0

    def read_tail(self) -> str:
        """Return the end of the process's output."""
        length = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), TAIL_BYTES, max(0, length - TAIL_BYTES)).decode(errors="replace").strip()

    def stop(self) -> None:
        """Terminate the process, then kill it and its descendants; may be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                pass
            finally:  # also after a second Ctrl-C
                self._kill_group()
            self._process.wait()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS: not permitted if only a zombie remains
            os.killpg(self.pid, signal.SIGKILL)


@contextmanager
def run_child(
    name: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    interpreter: str = sys.executable,
) -> Iterator[ChildProcess]:
    """Run a Python process with these arguments of the interpreter, by default this installation's."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - this interpreter with our own arguments
            build_python_command(arguments, interpreter),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=build_child_environment(environment),
            start_new_session=True,  # only this process receives Ctrl-C and stops its children in order
        )
        child = ChildProcess(name, process, log)
        try:
            yield child
        finally:
            child.stop()


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
