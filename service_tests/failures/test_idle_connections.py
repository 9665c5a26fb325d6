"""Idle time of connections over a real socket, with both parsers: it begins when nothing more is due."""

import asyncio
import socket
from typing import Any

import pytest

from app.http.protocols import PROTOCOL, BoundedH11Protocol
from app.settings import Settings
from service_tests.failures.test_client_disconnects import SocketService, build_request, run_socket_service
from service_tests.support.raw_client import HOST, read_response
from service_tests.support.service import get_model, wait_until

pytestmark = pytest.mark.anyio
PROTOCOLS = [PROTOCOL, BoundedH11Protocol]
KEEP_ALIVE_S = 0.8
REQUEST = build_request("/recommend", {"history": ["i7"]})
LIVENESS = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def brief(settings: Settings) -> Settings:
    return settings.model_copy(update={"keep_alive_s": KEEP_ALIVE_S, "request_deadline_ms": 60_000})


def get_connection(service: SocketService) -> Any:
    (connection,) = service.server.server_state.connections
    return connection


async def assert_is_closed_after_keep_alive(reader: asyncio.StreamReader, since: float) -> None:
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    assert asyncio.get_running_loop().time() - since > 0.9 * KEEP_ALIVE_S


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_idle_time_counts_from_the_last_answer_and_not_during_a_request(
    protocol: type, settings: Settings
) -> None:
    loop = asyncio.get_running_loop()
    async with run_socket_service(settings, protocol) as service:
        reader, writer = await asyncio.open_connection(HOST, service.port)
        await asyncio.sleep(0.3)
        connection = get_connection(service)
        assert 0.25 < connection.get_idle_s(loop.time()) < 3
        with get_model(service.state).engine.block_thread():
            writer.write(REQUEST)
            await asyncio.sleep(0.3)
            assert connection.get_idle_s(loop.time()) is None
        assert (await read_response(reader))[0] == 200
        answered_at = loop.time()
        assert connection.get_idle_s(answered_at) == pytest.approx(0, abs=0.1)
        await asyncio.sleep(0.3)
        assert connection.get_idle_s(loop.time()) == pytest.approx(loop.time() - answered_at, abs=0.1)
        writer.write(REQUEST[:20])
        await asyncio.sleep(0.05)
        assert connection.get_idle_s(loop.time()) is None
        writer.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_slow_answer_does_not_count_as_idle(protocol: type, brief: Settings) -> None:
    async with run_socket_service(brief, protocol) as service:
        reader, writer = await asyncio.open_connection(HOST, service.port)
        with get_model(service.state).engine.block_thread():
            writer.write(REQUEST)
            await asyncio.sleep(2 * KEEP_ALIVE_S)
        assert (await read_response(reader))[0] == 200
        await assert_is_closed_after_keep_alive(reader, asyncio.get_running_loop().time())
        writer.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_request_that_is_answered_before_its_end_counts_until_its_end(protocol: type, brief: Settings) -> None:
    async with run_socket_service(brief, protocol) as service:
        reader, writer = await asyncio.open_connection(HOST, service.port)
        writer.write(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n")
        assert (await read_response(reader))[0] == 415
        for byte in (b"a", b"b", b"c", b"d"):
            await asyncio.sleep(KEEP_ALIVE_S / 2)
            writer.write(byte)
        await writer.drain()
        await assert_is_closed_after_keep_alive(reader, asyncio.get_running_loop().time())
        writer.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_answer_that_is_still_taken_does_not_count_as_idle(protocol: type, brief: Settings) -> None:
    loop = asyncio.get_running_loop()
    async with run_socket_service(brief, protocol) as service:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, (HOST, service.port))
        await wait_until(lambda: bool(service.server.server_state.connections))
        connection = get_connection(service)
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await loop.sock_sendall(client, b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await wait_until(lambda: connection.cycle is not None and connection.cycle.response_complete)
        await asyncio.sleep(2 * KEEP_ALIVE_S)
        assert connection.transport.get_write_buffer_size(), "the answer fits into the buffers of the system"
        reader, writer = await asyncio.open_connection(sock=client)
        assert (await read_response(reader))[0] == 200
        writer.write(LIVENESS)
        assert (await read_response(reader))[0] == 200
        await assert_is_closed_after_keep_alive(reader, loop.time())
        writer.close()
