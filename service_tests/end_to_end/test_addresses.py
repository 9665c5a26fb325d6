"""`nextup serve` announces the address on which it answers, and fails at once where it cannot listen."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service_tests.app.cli.test_listening import has_ipv6
from service_tests.support.nextup_process import COMMAND, find_free_port, make_environment, run_nextup, run_service

pytestmark = [pytest.mark.process, pytest.mark.slow]


@contextmanager
def announce_service(data: Path, *arguments: str) -> Iterator[list[str]]:
    """Start the service, and yield its lines up to the last one of the announcement."""
    command = [*COMMAND, "serve", *arguments]
    with subprocess.Popen(command, env=make_environment(data), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines: list[str] = []
        try:
            for line in process.stderr:
                lines.append(line.rstrip())
                if line.startswith(("  metrics", "  health")):
                    break
            yield lines
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()


@pytest.mark.parametrize(
    ("host", "workers", "prefix"),
    [("127.0.0.1", "1", "http://127.0.0.1:"), ("127.0.0.2", "2", "http://127.0.0.2:"), ("::1", "1", "http://[::1]:")],
)
def test_announced_address_of_port_0_answers(
    host: str, workers: str, prefix: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("needs IPv6")
    options = ["--artifact", str(tiny_artifact), "--host", host, "--port", "0", "--workers", workers]
    with announce_service(tmp_path, *options) as lines:
        url = lines[-1].split()[1].removesuffix("/metrics")
        assert url.startswith(prefix)
        assert not url.endswith(":0")
        assert httpx.get(f"{url}/readyz", trust_env=False, timeout=60).status_code == 200


def test_service_listens_on_a_unix_socket(tiny_artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with announce_service(tmp_path, "--artifact", str(tiny_artifact), "--unix-socket", str(path)) as lines:
        assert lines[-1] == f"  health   curl -s --unix-socket {path} http://localhost/readyz"
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost", timeout=60
        ) as http:
            assert http.get("/readyz").status_code == 200
            assert http.post("/recommend", json={"history": ["i1"]}).status_code == 200
    assert not path.exists()


def test_port_in_use_is_reported_before_anything_starts(tiny_artifact: Path, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", find_free_port()))
        other.listen()
        port = other.getsockname()[1]
        result = run_nextup(tmp_path / "data", "serve", "--demo", "--port", str(port))
    assert result.returncode == 1
    assert result.stderr == (
        f"nextup: error: port {port} of 127.0.0.1 is in use by another process; stop that process, or choose another "
        "--port\n"
    )
    assert not (tmp_path / "data").exists(), "no demo is trained and no Redis started"


def test_port_of_another_nextup_is_named(tiny_artifact: Path, tmp_path: Path) -> None:
    with run_service(tmp_path / "first", "--artifact", str(tiny_artifact)) as service:
        port = service.url.rpartition(":")[2]
        result = run_nextup(tmp_path / "second", "serve", "--artifact", str(tiny_artifact), "--port", port)
    assert "is in use by another nextup; stop that process, or choose another --port" in result.stderr
