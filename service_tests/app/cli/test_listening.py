"""The address that the service listens on: errors that say what to do, and the URL that clients of this machine use."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.cli.listening import Address, bind_listener, bind_unix_listener, call_when_ready, format_url


@contextmanager
def run_http_server(body: bytes = b"{}") -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:{}"),
        ("127.0.0.2", "http://127.0.0.2:{}"),
        ("localhost", "http://127.0.0.1:{}"),
        ("0.0.0.0", "http://127.0.0.1:{}"),
        ("", "http://127.0.0.1:{}"),
        ("::1", "http://[::1]:{}"),
        ("::", "http://[::1]:{}"),
    ],
)
def test_url_of_a_free_port_is_the_one_that_was_bound(host: str, url: str) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("needs IPv6")
    with bind_listener(host, 0) as listener:
        address = Address.from_listener(listener)
        assert address.port == listener.getsockname()[1] > 0
        assert str(address) == url.format(address.port)
        assert format_url(host, address.port) in (address.url, address.url.replace("127.0.0.1", "localhost"))


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_port_in_use_names_the_server_and_what_to_do() -> None:
    with bind_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        listener.listen()
        with pytest.raises(ValueError, match=rf"^port {port} of 127.0.0.1 is in use by another process; .* --port$"):
            bind_listener("127.0.0.1", port)
    with run_http_server(b'{"info": {"title": "nextup"}}') as port, pytest.raises(ValueError, match="another nextup;"):
        bind_listener("127.0.0.1", port)
    with run_http_server() as port, pytest.raises(ValueError, match="another HTTP server;"):
        bind_listener("127.0.0.1", port)


def test_host_that_is_not_of_this_machine_names_the_setting() -> None:
    with pytest.raises(ValueError, match=r"NEXTUP_HOST 192\.0\.2\.1 is not an address of this machine"):
        bind_listener("192.0.2.1", 0)
    with pytest.raises(ValueError, match="NEXTUP_HOST 'no such host' is neither an address nor a known name"):
        bind_listener("no such host", 0)


def test_unix_socket_replaces_one_left_behind_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "http.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with bind_unix_listener(path) as listener:
        address = Address.from_listener(listener)
        assert str(address) == f"unix:{path}"
        assert address.curl == f"curl -s --unix-socket {path} http://localhost"
        listener.listen()
        with pytest.raises(ValueError, match="is in use by another process"), bind_unix_listener(path):
            pass
        assert path.exists()
    assert not path.exists()


def test_unix_socket_never_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("x")
    with pytest.raises(ValueError, match="exists and is not a socket"), bind_unix_listener(path):
        pass
    assert path.read_text() == "x"
    with pytest.raises(ValueError, match="choose a shorter path"), bind_unix_listener(tmp_path / ("x" * 200)):
        pass


def test_callback_runs_once_when_a_server_answers() -> None:
    calls: list[str] = []
    is_called = threading.Event()

    def on_ready() -> None:
        calls.append("ready")
        is_called.set()

    with run_http_server() as port, call_when_ready(Address("127.0.0.1", port), on_ready):
        assert is_called.wait(10)
    with bind_listener("127.0.0.1", 0) as bound, call_when_ready(Address.from_listener(bound), on_ready):
        assert not threading.Event().wait(0.2), "nothing listens yet"
    assert calls == ["ready"]
