"""The socket that `nextup serve` listens on: bound before anything else, so that the address is certain.

A socket that is bound but does not listen yet refuses connections; the first worker begins to listen when it is ready.
"""

import errno
import http.client
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.runtime.subprocesses import MAX_SOCKET_PATH_BYTES

PROBE_TIMEOUT_S = 1.0
PROBE_INTERVAL_S = 0.05
SOCKET_MODE = 0o666
"""As the loopback address, open to every user of this machine; the permissions of its folder may restrict that."""
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - valid to listen on, but not an address to open


@dataclass(frozen=True, slots=True)
class Address:
    """Where clients of this machine reach the service: host and port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def from_listener(cls, listener: socket.socket) -> "Address":
        name = listener.getsockname()
        if listener.family == socket.AF_UNIX:
            return cls(path=str(name))
        return cls(WILDCARDS.get(name[0], name[0]), name[1])

    @property
    def url(self) -> str:
        return format_url(self.host, self.port) if self.port else "http://localhost"

    @property
    def curl(self) -> str:
        """The beginning of a command that calls the service."""
        return f"curl -s --unix-socket {self.path} {self.url}" if self.path else f"curl -s {self.url}"

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else self.url

    def get_status(self, path: str) -> tuple[int, bytes]:
        """Send a request; OSError or HTTPException if no HTTP server answers."""
        connection = http.client.HTTPConnection(self.host or "localhost", self.port or None, timeout=PROBE_TIMEOUT_S)
        try:
            if self.path:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(PROBE_TIMEOUT_S)
                connection.sock.connect(self.path)
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read(1_000_000)
        finally:
            connection.close()


def format_url(host: str, port: int) -> str:
    """Format the base URL of a service that listens on this host; a wildcard becomes the loopback address."""
    host = WILDCARDS.get(host, host) or "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def bind_listener(host: str, port: int) -> socket.socket:
    """Bind a TCP socket; port 0 is any free one. ValueError states why not and what to do."""
    try:
        addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ValueError(f"NEXTUP_HOST {host!r} is neither an address nor a known name; correct it") from None
    # A name may have addresses of both families, as localhost does; clients try 127.0.0.1 first.
    family, _, _, _, address = min(addresses, key=lambda each: each[0] != socket.AF_INET)
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ValueError(_describe_bind_error(error, host, port)) from None
    listener.set_inheritable(True)
    return listener


def _describe_bind_error(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = identify_server(Address(WILDCARDS.get(host, host) or "127.0.0.1", port))
        return f"port {port} of {host or 'this machine'} is in use{owner}; stop that process, or choose another --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"NEXTUP_HOST {host} is not an address of this machine; 0.0.0.0 listens on all of them"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} needs privileges that this user lacks; choose a --port above 1023"
    return f"cannot listen on port {port} of {host}: {error.strerror}; choose another --host or --port"


def identify_server(address: Address) -> str:
    """Describe the server at an address in words that follow `is in use`."""
    try:
        _, body = address.get_status("/openapi.json")
    except (OSError, http.client.HTTPException):
        return " by another process"
    return " by another nextup" if b'"title":"nextup"' in body.replace(b": ", b":") else " by another HTTP server"


@contextmanager
def bind_unix_listener(path: Path) -> Iterator[socket.socket]:
    """Bind a Unix socket and remove it at the end; one that a killed service left behind is replaced."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"NEXTUP_UNIX_SOCKET {path} has more than {MAX_SOCKET_PATH_BYTES} bytes; choose a shorter path"
        )
    if path.exists() or path.is_symlink():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ValueError(f"NEXTUP_UNIX_SOCKET {path} exists and is not a socket; choose another path")
        if _accepts_connections(path):
            owner = identify_server(Address(path=str(path)))
            raise ValueError(f"NEXTUP_UNIX_SOCKET {path} is in use{owner}; stop that process, or choose another path")
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        identity = path.stat().st_ino
        path.chmod(SOCKET_MODE)
        listener.set_inheritable(True)
        try:
            yield listener
        finally:
            if path.exists() and path.stat().st_ino == identity:
                path.unlink()


def _accepts_connections(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


@contextmanager
def call_when_ready(address: Address, callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` once a worker answers, in a thread that ends with the block."""
    stopping = threading.Event()

    def wait() -> None:
        while not stopping.wait(PROBE_INTERVAL_S):
            try:
                address.get_status("/livez")
            except (OSError, http.client.HTTPException):
                continue
            callback()
            return

    thread = threading.Thread(target=wait, name="announcement", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(2 * PROBE_TIMEOUT_S)
