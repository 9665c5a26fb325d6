"""Requests leave nothing that only a garbage collection could free, because collections are rare."""

import asyncio
import gc
from typing import Any

import pytest

from app.http.protocols import PROTOCOL, BoundedH11Protocol
from app.settings import Settings
from service_tests.failures.test_client_disconnects import SocketService, build_request, run_socket_service
from service_tests.support.service import get_model, wait_until

pytestmark = pytest.mark.anyio

NUM_REQUESTS = 200
KINDS: dict[str, tuple[str, dict[str, Any], int]] = {
    "answered": ("/recommend", {"history": ["i7"]}, 200),
    "route of FastAPI": ("/recommend", {"history": ["i7"], "categories": []}, 200),
    "unknown user": ("/recommend", {"user_id": "nobody"}, 200),
    "invalid": ("/recommend", {"history": 3}, 422),
    "batch": ("/recommend/batch", {"requests": [{"history": ["i7"]}] * 3}, 200),
    "event": ("/events", {"events": [{"user_id": "u", "item_id": "i7", "timestamp": 1_700_000_000}]}, 202),
    "unknown path": ("/nothing", {}, 404),
}


async def ask(port: int, path: str, body: dict[str, Any], count: int, header: str = "") -> set[int]:
    """Send requests on one connection and return their statuses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    statuses = set()
    for _ in range(count):
        writer.write(build_request(path, body).replace(b"Host:", f"{header}Host:".encode(), 1))
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        statuses.add(int(head.split()[1]))
    writer.close()
    await writer.wait_closed()
    return statuses


async def count_garbage(port: int, path: str, body: dict[str, Any], status: int, header: str = "") -> int:
    """Count the objects in cycles that NUM_REQUESTS requests leave."""
    assert status in await ask(port, path, body, 3, header)
    await asyncio.sleep(0.05)  # tasks of earlier requests end
    gc.collect()
    assert status in await ask(port, path, body, NUM_REQUESTS, header)
    await asyncio.sleep(0.05)
    return gc.collect()


@pytest.mark.parametrize("kind", KINDS)
async def test_requests_leave_no_cycles(kind: str, settings: Settings) -> None:
    async with run_socket_service(settings) as service:
        assert await count_garbage(service.port, *KINDS[kind]) < NUM_REQUESTS, "the connection itself leaves a few"


async def test_requests_that_miss_their_deadline_leave_no_cycles(settings: Settings) -> None:
    async with run_socket_service(settings) as service:
        with get_model(service.state).engine.block_thread():
            path, body, _ = KINDS["answered"]
            assert await count_garbage(service.port, path, body, 504, "X-Request-Deadline-Ms: 20\r\n") < NUM_REQUESTS


NUM_CLIENTS = 20
OBJECTS_OF_A_CONNECTION = 16
"""Transports of asyncio at both ends, which are in the process of the test."""
PLAIN = build_request("/recommend", {"history": ["i7"]})
LEFT = {
    "queued": PLAIN,
    "queued batch": build_request("/recommend/batch", {"requests": [{"history": ["i7"] * 1000}] * 5}),
    "queued similar": build_request("/similar", {"item_id": "i7"}),
    "pipelined": PLAIN * 3 + build_request("/recommend", {"history": ["i7"] * 5000}),
    "incomplete": PLAIN[:-1],
}


async def send_and_leave(service: SocketService, data: bytes, count: int) -> None:
    """Send `data` on so many connections, and close them before an answer."""
    with get_model(service.state).engine.block_thread():
        connections = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(count)]
        for _, writer in connections:
            writer.write(data)
        await asyncio.sleep(0.3)
        for _, writer in connections:
            writer.transport.abort()
        await wait_until(lambda: not service.server.server_state.connections)
    await wait_until(lambda: not service.server.server_state.tasks)
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("protocol", [PROTOCOL, BoundedH11Protocol])
@pytest.mark.parametrize("kind", LEFT)
async def test_requests_whose_client_leaves_leave_no_cycles(kind: str, protocol: type, settings: Settings) -> None:
    async with run_socket_service(settings, protocol) as service:
        await send_and_leave(service, LEFT[kind], 2)
        gc.collect()
        await send_and_leave(service, LEFT[kind], NUM_CLIENTS)
        assert gc.collect() < 1.5 * NUM_CLIENTS * OBJECTS_OF_A_CONNECTION


@pytest.mark.parametrize("protocol", [PROTOCOL, BoundedH11Protocol])
@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"x" * 90_000])
async def test_requests_that_the_parser_rejects_leave_no_cycles(
    data: bytes, protocol: type, settings: Settings
) -> None:
    async def send_all(count: int) -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(data)
            assert (await reader.readline()).startswith(b"HTTP/1.1 4")
            writer.transport.abort()
        await wait_until(lambda: not service.server.server_state.connections)

    async with run_socket_service(settings, protocol) as service:
        await send_all(2)
        gc.collect()
        await send_all(NUM_CLIENTS)
        assert gc.collect() < 1.5 * NUM_CLIENTS * OBJECTS_OF_A_CONNECTION
