"""Callers that hang up before the answer, over a real socket: their work is dropped, and nobody else's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from app.lifespan import AppState
from app.main import create_app
from app.settings import Settings
from service_tests.failures.test_overload import block_model, wait_until
from service_tests.support.service import Service, get_model, run_service

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class SocketService:
    server: uvicorn.Server
    port: int
    state: AppState


@asynccontextmanager
async def run_socket_service(settings: Settings) -> AsyncIterator[SocketService]:
    """A service in this event loop, behind uvicorn."""
    config = uvicorn.Config(create_app(settings), port=0, lifespan="on", log_level="critical", ws="none")
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server.serve())
    await wait_until(lambda: server.started)
    yield SocketService(server, server.servers[0].sockets[0].getsockname()[1], server.lifespan.state)
    server.should_exit = True
    await running


def request(path: str, body: dict[str, Any]) -> bytes:
    content = json.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"{head}\r\n\r\n{content}".encode()


async def open_request(port: int, path: str, body: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(path, body))
    return reader, writer


async def test_a_caller_that_hangs_up_leaves_the_queue_and_is_counted(settings: Settings) -> None:
    async with run_socket_service(settings) as running, run_service(settings) as other:
        counted = await other.read_metric("nextup_cancelled_total")
        left = 'nextup_http_requests_total{code="499",method="POST",route="/recommend"}'
        before = await other.read_metric(left)
        queue = get_model(running.state).engine._batcher
        with block_model(Service(other.http, running.state, get_model(running.state))):
            first = await open_request(running.port, "/recommend", {"history": ["i7"]})
            await wait_until(lambda: bool(queue._running))
            leaving = await open_request(running.port, "/recommend", {"history": ["i7"]})
            batch = await open_request(running.port, "/recommend/batch", {"requests": [{"history": ["i7"]}] * 5})
            staying = await open_request(running.port, "/recommend", {"history": ["i7"]})
            await wait_until(lambda: queue.depth == 7)
            for _, writer in (leaving, batch):
                writer.close()
            await wait_until(lambda: queue.depth == 1)
        for reader, writer in (first, staying):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
        assert await other.read_metric("nextup_cancelled_total") == counted + 6
        assert await other.read_metric(left) == before + 1


async def test_a_connection_serves_one_request_after_the_other(settings: Settings) -> None:
    """Listening for the end of a connection must not swallow the next request on it."""
    async with run_socket_service(settings) as running:
        reader, writer = await open_request(running.port, "/recommend", {"history": ["i7"]})
        for _ in range(5):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert head.startswith("http/1.1 200")
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            writer.write(request("/recommend", {"history": ["i7"]}))
        writer.close()
