"""Supervisor of the dedicated model process: started before the HTTP workers, restarted on exit, stopped after them.

Restarts back off exponentially, so that a model that cannot be loaded is not reloaded in a tight loop; workers serve
the popularity fallback meanwhile.
"""

import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.runtime.subprocesses import MAX_SOCKET_PATH_BYTES, build_child_environment, build_python_command
from app.settings import Settings

log = logging.getLogger("nextup")

START_S = 900.0
"""Longest wait for the first version; a large artifact on a busy machine loads slowly."""
STOP_MARGIN_S = 5.0
"""Time to exit after the drain."""
PROBE_INTERVAL_S = 0.02
MIN_BACKOFF_S, MAX_BACKOFF_S = 0.2, 30.0
STEADY_S = 60.0
"""Uptime after which the restart backoff resets."""


class ModelStartFailed(Exception):
    """The process exited with `status` before it served; it has printed the cause to standard error."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the model process exited with status {status} before it was ready")
        self.status = status


class ModelSupervisor:
    def __init__(self, path: Path, *, stop_s: float) -> None:
        self._path = path
        self._stop_s = stop_s
        self._stopping = threading.Event()
        self._spawn_lock = threading.Lock()
        self._process = _start_process()
        self._started_at = time.monotonic()
        self._thread: threading.Thread | None = None

    def wait_until_serving(self) -> None:
        """ModelStartFailed if the process exits instead, TimeoutError after `START_S`."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if (status := self._process.poll()) is not None:
                raise ModelStartFailed(status)
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(self._path))
                except OSError:
                    time.sleep(PROBE_INTERVAL_S)
                else:
                    return
        raise TimeoutError(f"the model process was not ready within {START_S:.0f} s")

    def start_monitoring(self) -> None:
        """Restart the process whenever it exits, until `stop`."""
        self._thread = threading.Thread(target=self._monitor, name="model-supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Terminate the process, which drains first; kill it if that takes longer than `stop_s`."""
        self._stopping.set()
        with self._spawn_lock:
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

    def _monitor(self) -> None:
        backoff_s = MIN_BACKOFF_S
        while True:
            status = self._process.wait()
            if time.monotonic() - self._started_at > STEADY_S:
                backoff_s = MIN_BACKOFF_S
            if not self._stopping.is_set():
                log.error("the model process exited with status %d; restarting in %g s", status, backoff_s)
            if self._stopping.wait(backoff_s):
                return
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
            with self._spawn_lock:
                if self._stopping.is_set():
                    return
                self._process, self._started_at = _start_process(), time.monotonic()


@contextmanager
def supervise_model_process(settings: Settings) -> Iterator[None]:
    """Keep the model process running while the block runs; it serves when the block begins.

    ModelStartFailed if it cannot serve; ValueError if the socket path is too long for the operating system.
    """
    path = settings.model_socket_path
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"NEXTUP_DATA_DIR is too long for a socket in it: {path} has more than {MAX_SOCKET_PATH_BYTES} bytes; "
            "set NEXTUP_MODEL_SOCKET"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # left behind by a service that was killed; a probe would mistake it for this one
    supervisor = ModelSupervisor(path, stop_s=settings.drain_s + STOP_MARGIN_S)
    try:
        supervisor.wait_until_serving()
        supervisor.start_monitoring()
        yield
    finally:
        supervisor.stop()


def _start_process() -> subprocess.Popen[bytes]:
    """Start the process; on Linux it ends with the thread that started it, even if this process is killed."""
    return subprocess.Popen(  # noqa: S603 - this interpreter with our own module
        build_python_command(["-m", "app.model_server.process"]),
        stdin=subprocess.DEVNULL,
        env=build_child_environment(),
        start_new_session=True,  # Ctrl-C reaches the whole foreground group; the model must outlive the last requests
    )
