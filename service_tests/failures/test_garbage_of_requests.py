"""Requests leave nothing that only a garbage collection could free, because collections are rare."""

import asyncio
import gc
from typing import Any

import pytest

from app.settings import Settings
from service_tests.failures.test_client_disconnects import build_request, run_socket_service
from service_tests.support.service import get_model

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
