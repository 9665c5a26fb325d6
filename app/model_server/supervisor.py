"""Keeps the model's process alive beside the HTTP workers: started first, started anew when it ends, stopped last.

Knows processes and nothing of models. After an end it waits, longer each time, because a model that cannot be loaded
would otherwise be loaded for ever; workers answer with popularity meanwhile.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.runtime.subprocesses import MAX_SOCKET_PATH_BYTES, build_child_environment, build_python_command
from app.settings import Settings

START_S = 900.0
"""A large artifact on a busy machine."""
SPARE_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
STEADY_S = 60.0
"""Who has run so long did not end because of how it was started."""


class ModelStartFailed(Exception):
    """The process ended, having said why on standard error; `status` is what it ended with."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the model's process ended with status {status} before it served")
        self.status = status


class ModelSupervisor:
    def __init__(self, path: Path, *, stop_s: float) -> None:
        self._path = path
        self._stop_s = stop_s
        self._stopping = threading.Event()
        self._spawning = threading.Lock()
        self._process = _spawned()
        self._since = time.monotonic()
        self._thread: threading.Thread | None = None

    def wait_until_serving(self) -> None:
        """ModelStartFailed if it ends instead, TimeoutError if it does neither."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if (status := self._process.poll()) is not None:
                raise ModelStartFailed(status)
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(self._path))
                except OSError:
                    time.sleep(0.02)
                else:
                    return
        raise TimeoutError(f"the model's process did not serve within {START_S:.0f} s")

    def start_monitoring(self) -> None:
        """From here on whoever ends is replaced, until `stop`."""
        self._thread = threading.Thread(target=self._keep, name="model-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let it finish what is asked, and end; kill it if it does not."""
        self._stopping.set()
        with self._spawning:
            process = self._process
        process.terminate()
        try:
            process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._thread is not None:
            self._thread.join()
        self._path.unlink(missing_ok=True)

    def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            status = self._process.wait()
            if time.monotonic() - self._since > STEADY_S:
                pause_s = FIRST_PAUSE_S
            if not self._stopping.is_set():
                print(f"nextup: the model's process ended ({status}); another in {pause_s:g} s", file=sys.stderr)
            if self._stopping.wait(pause_s):
                return
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            with self._spawning:
                if self._stopping.is_set():
                    return
                self._process, self._since = _spawned(), time.monotonic()


@contextmanager
def supervise_model_process(settings: Settings) -> Iterator[None]:
    """Serving when the block begins, alive while it runs. ModelStartFailed; ValueError for a path that no socket may have."""
    path = settings.model_socket_path
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"NEXTUP_DATA_DIR is too long for a socket in it: {path} has more than {MAX_SOCKET_PATH_BYTES} bytes; "
            "set NEXTUP_MODEL_SOCKET"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # of a service that was killed: it would look alive
    keeper = ModelSupervisor(path, stop_s=settings.drain_s + SPARE_S)
    try:
        keeper.wait_until_serving()
        keeper.start_monitoring()
        yield
    finally:
        keeper.stop()


def _spawned() -> subprocess.Popen[bytes]:
    """Start the process; on Linux it ends with the thread that started it, even if this process is killed."""
    return subprocess.Popen(  # noqa: S603 - this interpreter with our own module
        build_python_command(["-m", "app.model_server.process"]),
        stdin=subprocess.DEVNULL,
        env=build_child_environment(),
        start_new_session=True,  # Ctrl-C reaches the whole foreground group; the model must outlive the last requests.
    )
