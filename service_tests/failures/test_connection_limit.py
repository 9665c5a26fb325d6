"""More connections than a process may have files, against a real process: health checks and callers are served."""

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.http.connections import HEALTH_RESERVE, choose_max_connections
from app.settings import Settings
from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.raw_client import exchange, get_status

pytestmark = pytest.mark.anyio
FILE_LIMIT = 1024
BODY = b'{"history": ["i7"]}'
LIVENESS = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
RECOMMEND = (
    b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


@contextmanager
def limit_files(count: int) -> Iterator[None]:
    """Limit the files of processes that are started in the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture(scope="module")
def running(tiny_artifact: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with ExitStack() as stack:
        with limit_files(FILE_LIMIT):
            service = run_service(
                tmp_path_factory.mktemp("edge"), "--artifact", str(tiny_artifact), NEXTUP_REDIS_URL=redis_url
            )
            running = stack.enter_context(service)
        yield running


@pytest.fixture
def port(running: RunningService) -> int:
    return int(running.url.rpartition(":")[2])


@contextmanager
def open_connections(port: int, count: int, start: bytes) -> Iterator[list[socket.socket]]:
    """Open connections that send `start` and then nothing."""
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            connection.settimeout(5)
            connection.connect(("127.0.0.1", port))
            connection.sendall(start)
            connections.append(connection)
        yield connections


@pytest.mark.parametrize(
    "start",
    [b"", b"GET /livez HTTP/1.1\r\nHo", RECOMMEND.replace(b"Content-Length: ", b"Content-Length: 9")],
    ids=["silent", "half a head", "half a body"],
)
async def test_connections_that_send_nothing_more_do_not_keep_others_out(
    start: bytes, running: RunningService, port: int
) -> None:
    with open_connections(port, 1004, start):
        for _ in range(5):
            assert get_status(await exchange(port, LIVENESS, timeout_s=2)) == 200, "immediately"
        await asyncio.sleep(1.2)
        for _ in range(5):
            assert get_status(await exchange(port, LIVENESS, timeout_s=2)) == 200
            assert get_status(await exchange(port, RECOMMEND, timeout_s=2)) == 200, "waiting connections made room"
    assert read_samples(running.url, "nextup_rejected_total")["[('reason', 'connections')]"] >= 1
    limit = read_samples(running.url, "nextup_connection_limit")["[]"]
    assert 500 < limit < FILE_LIMIT - HEALTH_RESERVE
    await asyncio.sleep(0.6)
    assert read_samples(running.url, "nextup_connections")["[]"] <= limit + HEALTH_RESERVE


async def test_requests_beyond_the_limit_get_503_and_health_checks_are_answered(port: int) -> None:
    with open_connections(port, 1004, b""):  # too recent to make room
        response = await exchange(port, RECOMMEND, timeout_s=2)
        assert get_status(response) == 503
        assert b"\r\nretry-after: 1\r\n" in response.lower()
        assert b"NEXTUP_MAX_CONNECTIONS" in response
        assert get_status(await exchange(port, LIVENESS, timeout_s=2)) == 200


def test_log_has_a_line_per_interval_and_not_one_per_rejection(
    tiny_artifact: Path, redis_url: str, tmp_path: Path
) -> None:
    variables = {"NEXTUP_REDIS_URL": redis_url, "NEXTUP_MAX_CONNECTIONS": "8"}
    with run_service(tmp_path, "--artifact", str(tiny_artifact), **variables) as running:
        port = int(running.url.rpartition(":")[2])
        for _ in range(4):
            with open_connections(port, 60, b"nonsense\r\n\r\n") as connections:
                for connection in connections:
                    assert connection.recv(1) in (b"H", b"")
    lines = [line for line in running.output if "rejected" in line]
    assert 1 <= len(lines) <= 4, lines
    assert any("NEXTUP_MAX_CONNECTIONS" in line and "127.0.0.1" in line for line in lines)
    assert any("not valid HTTP" in line for line in lines)


def test_limit_leaves_files_for_everything_else(caplog: pytest.LogCaptureFixture) -> None:
    assert choose_max_connections(Settings(), 1024) == 1024 - 96 - 32 - 32
    assert choose_max_connections(Settings(redis_pool=132), 1024) == 1024 - 96 - 32 - 132
    assert choose_max_connections(Settings(), 1_000_000) == 10_000
    assert choose_max_connections(Settings(), 64) == 8, "below what a process needs anyway"
    assert choose_max_connections(Settings(max_connections=200), 1024) == 200
    assert not caplog.messages
    assert choose_max_connections(Settings(max_connections=5000), 1024) == 864
    assert "ulimit -n" in caplog.text
