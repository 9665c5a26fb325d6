"""Connections over a real socket: bytes that are not HTTP, and how long an idle connection stays open."""

import asyncio
import json
import logging
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.http.protocols import BoundedH11Protocol
from app.http.server import build_server_options
from app.main import create_app
from app.settings import Settings
from service_tests.failures.test_client_disconnects import build_request, run_socket_service
from service_tests.support.service import wait_until

pytestmark = pytest.mark.anyio
NONSENSE = [
    b"nonsense\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 100,  # TLS on the plain port
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
    b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
]


async def assert_is_answered_with_a_problem(port: int, request: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    problem = json.loads(await reader.read())
    writer.close()
    assert head.startswith("http/1.1 400 ")
    assert "\r\ncontent-type: application/problem+json\r\n" in head
    assert "\r\nx-content-type-options: nosniff\r\n" in head
    assert (problem["type"], problem["status"], problem["errors"]) == ("urn:nextup:problem:bad-request", 400, [])
    assert problem["request_id"]


async def test_request_that_is_not_http_is_answered_with_a_problem(settings: Settings) -> None:
    async with run_socket_service(settings) as service:
        for request in NONSENSE:
            await assert_is_answered_with_a_problem(service.port, request)


@asynccontextmanager
async def run_parser_in_python(settings: Settings) -> AsyncIterator[int]:
    """Run the service with the parser of platforms without httptools; the value is its port."""
    config = uvicorn.Config(create_app(settings), port=0, http=BoundedH11Protocol, log_config=None, ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    await wait_until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def test_parser_in_python_answers_with_the_same_problem(settings: Settings) -> None:
    assert issubclass(BoundedH11Protocol, H11Protocol)
    async with run_parser_in_python(settings) as port:
        for request in (NONSENSE[0], NONSENSE[1], NONSENSE[3]):
            await assert_is_answered_with_a_problem(port, request)


async def test_parser_in_python_logs_no_line_per_request(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    upgrade = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n"
    async with run_parser_in_python(settings) as port:
        caplog.clear()
        for _ in range(3):
            await assert_is_answered_with_a_problem(port, NONSENSE[0])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(upgrade)
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
        warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("rejected 1 time(s) (malformed, ")


@pytest.mark.parametrize(("keep_alive_s", "is_open"), [(1.0, False), (75.0, True)])
async def test_idle_connection_stays_open_as_long_as_the_setting(
    keep_alive_s: float, is_open: bool, settings: Settings
) -> None:
    async with run_socket_service(settings.model_copy(update={"keep_alive_s": keep_alive_s})) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        request = build_request("/recommend", {"history": ["i7"]})
        for _ in range(1 + is_open):
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            if is_open:
                await asyncio.sleep(1.5)
        if not is_open:
            async with asyncio.timeout(4):
                assert await reader.read() == b""
        writer.close()


def test_default_outlasts_the_idle_timeout_of_load_balancers() -> None:
    assert Settings().keep_alive_s >= 65


def test_worker_processes_receive_the_options_pickled() -> None:
    options = build_server_options(Settings())
    assert pickle.loads(pickle.dumps(options)) == options
