"""A private redis-server or valkey-server, so that nextup works without a Redis installation.

The stores connect to its `url` as to any other Redis. Synchronous, because it is started and stopped outside the event
loop. On Linux the server ends with the *thread* that started it. `supervisor.py` restarts a server that ends.
"""

import os
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from app.errors import StoreUnavailable
from app.runtime.subprocesses import MAX_SOCKET_PATH_BYTES, end_with_parent
from app.stores.redis.data_folder import choose_server, record_writer
from app.stores.redis.folder_lock import acquire_lock
from app.stores.redis.probes import is_answering, open_probe
from app.stores.redis.servers import ServerProgram, list_servers

ADDRESS_FILE = "address"
"""File in the data folder with the path of the socket, for other commands on the same data."""

OTHERS = stat.S_IRWXO
"""Permissions of other users of the machine, who must not read histories."""
LOG_FILE = "redis.log"
START_S = 60.0
"""Longest silence of a server that starts; reading a large append-only file takes longer, but is no silence."""
STOP_S, HANGING_STOP_S = 20.0, 1.0
"""Longest wait for the end of a server that answers, and of one that does not."""


class EmbeddedRedis:
    """A running server, created by `start` and ended by `stop` or at the end of a `with` block."""

    def __init__(self, folder: Path, durability: Literal["everysec", "always"]) -> None:
        """Lock the folder `redis`; use `start`, which also starts the server in it."""
        self.folder = folder
        self._durability = durability
        self._lock = acquire_lock(folder / "lock")
        self._socket = _choose_socket_path(folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._spawn_lock = threading.Lock()
        self._is_stopping = False

    @classmethod
    def start(cls, data_dir: Path, durability: Literal["everysec", "always"] = "everysec") -> Self:
        """Start a server on the folder `redis` of `data_dir`.

        StoreUnavailable if no server can read the folder, another process uses it, or the server does not start.
        """
        servers = list_servers()
        folder = data_dir.resolve() / "redis"
        with _report_unwritable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # a folder of another user
                folder.chmod(folder.stat().st_mode & ~OTHERS)
            redis = cls(folder, durability)
        try:
            redis.run_server(servers)
        except BaseException:
            redis.stop()
            raise
        return redis

    def run_server(self, servers: Sequence[ServerProgram]) -> None:
        """Start one of `servers` and wait until it answers; also after the last one has ended.

        StoreUnavailable if it does not start; it has ended then.
        """
        server = choose_server(self.folder, servers)
        with _report_unwritable(self.folder):
            with self._spawn_lock:
                if self._is_stopping:
                    return
                self._socket.unlink(missing_ok=True)
                process = self._process = self._spawn(server)
            try:
                self._wait_until_ready(process)
                record_writer(self.folder, server.release)
            except BaseException:
                _end(process, STOP_S)
                raise
        with suppress(OSError):  # a full disk: other commands do not find the server, but it serves
            (self.folder / ADDRESS_FILE).write_text(str(self._socket))

    def _spawn(self, server: ServerProgram) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "logfile": str(self.folder / LOG_FILE),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": self._durability,
            "save": "",  # the append-only file is enough; snapshots would only add pauses
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        with (self.folder / LOG_FILE).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - a fixed program with our own arguments
                end_with_parent([server.path, *words]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches the whole foreground group; the server must outlive the service's last writes.
                start_new_session=True,
                umask=OTHERS | stat.S_IWGRP,
                # The server holds the lock too, so that it is free only when both processes have ended.
                pass_fds=(self._lock.fileno(),),
            )

    @staticmethod
    def find_running_url(data_dir: Path) -> str | None:
        """Return the URL of the server that another process runs on this folder; None if no server answers."""
        address = data_dir.resolve() / "redis" / ADDRESS_FILE
        try:
            socket = Path(address.read_text())
        except FileNotFoundError:
            return None
        with open_probe(socket) as client:
            try:
                client.ping()
            except RedisError:
                return None
        return _build_url(socket)

    @property
    def url(self) -> str:
        return _build_url(self._socket)

    @property
    def pid(self) -> int:
        assert self._process is not None, "a server has been started"
        return self._process.pid

    def wait(self, timeout_s: float) -> int | None:
        """Wait until the server ends and return its exit status; None if it still runs after `timeout_s`."""
        assert self._process is not None, "a server has been started"
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    @property
    def is_answering(self) -> bool:
        """Whether the server answers within a second, if only with an error."""
        return is_answering(self._socket)

    def kill(self) -> None:
        """End the server immediately, even if it is stopped; it has written what it has acknowledged."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """Shut the server down, so that it writes its data, and kill it if it does not end. May be called twice."""
        with self._spawn_lock:
            self._is_stopping = True
        if self._process is not None:
            _end(self._process, STOP_S if self._process.poll() is None and self.is_answering else HANGING_STOP_S)
        with suppress(OSError):  # a disk that became read-only
            (self.folder / ADDRESS_FILE).unlink(missing_ok=True)
            self._socket.unlink(missing_ok=True)
        self._lock.close()
        if self._socket.parent != self.folder:
            shutil.rmtree(self._socket.parent, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def read_log_tail(self, characters: int = 2000) -> str:
        """Read the end of the server's log."""
        try:
            return (self.folder / LOG_FILE).read_text(errors="replace")[-characters:]
        except OSError:
            return ""

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_S
        with open_probe(self._socket) as client:
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    raise StoreUnavailable(
                        f"the embedded Redis ended during startup; the end of {self.folder / LOG_FILE}:\n"
                        f"{self.read_log_tail()}"
                    )
                try:
                    client.ping()
                except BusyLoadingError:  # it reads its data, however long that takes
                    deadline = time.monotonic() + START_S
                    time.sleep(0.01)
                except RedisConnectionError:
                    time.sleep(0.01)
                except RedisError:
                    time.sleep(0.1)
                else:
                    return
        raise StoreUnavailable(
            f"the embedded Redis did not answer within {START_S:.0f} s; see {self.folder / LOG_FILE}"
        )


@contextmanager
def _report_unwritable(folder: Path) -> Iterator[None]:
    """Raise StoreUnavailable for a file of the folder that cannot be written."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"{folder} cannot be written: {error.strerror}; correct NEXTUP_DATA_DIR, or set NEXTUP_REDIS_URL"
        ) from error


def _end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _build_url(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"


def _choose_socket_path(folder: Path) -> Path:
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    return Path(tempfile.mkdtemp(prefix="nextup-")) / "redis.sock"
