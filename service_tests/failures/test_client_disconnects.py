"""Clients that disconnect before the answer, over a real socket: only their own work is dropped."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from app.http.protocols import PROTOCOL
from app.http.server import build_server_options
from app.lifespan import AppState
from app.main import create_app
from app.settings import Settings
from service_tests.support.service import get_model, run_service, wait_until

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class SocketService:
    server: uvicorn.Server
    port: int
    state: AppState


@asynccontextmanager
async def run_socket_service(settings: Settings, protocol: type = PROTOCOL) -> AsyncIterator[SocketService]:
    """Run a service in this event loop, behind uvicorn."""
    options = {**build_server_options(settings), "http": protocol}
    config = uvicorn.Config(create_app(settings), port=0, lifespan="on", log_level="critical", **options)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    await wait_until(lambda: server.started)
    try:
        yield SocketService(server, server.servers[0].sockets[0].getsockname()[1], server.lifespan.state)
    finally:
        server.should_exit = True
        await serving


def build_request(path: str, body: dict[str, Any]) -> bytes:
    content = json.dumps(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    return f"{head}\r\n\r\n{content}".encode()


async def open_request(port: int, path: str, body: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(build_request(path, body))
    return reader, writer


async def test_disconnected_requests_leave_the_queue_and_are_counted(settings: Settings) -> None:
    async with run_socket_service(settings) as service, run_service(settings) as metrics_service:
        cancelled_before = await metrics_service.read_metric("nextup_cancelled_total")
        closed_request = 'nextup_http_requests_total{code="499",method="POST",route="/recommend"}'
        closed_before = await metrics_service.read_metric(closed_request)
        engine = get_model(service.state).engine
        with engine.block_thread():
            running = await open_request(service.port, "/recommend", {"history": ["i7"]})
            await wait_until(lambda: engine.running_batches == 1)
            disconnecting = await open_request(service.port, "/recommend", {"history": ["i7"]})
            batch = await open_request(service.port, "/recommend/batch", {"requests": [{"history": ["i7"]}] * 5})
            waiting = await open_request(service.port, "/recommend", {"history": ["i7"]})
            await wait_until(lambda: engine.queue_depth == 7)
            for _, writer in (disconnecting, batch):
                writer.close()
            await wait_until(lambda: engine.queue_depth == 1)
        for reader, writer in (running, waiting):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
        assert await metrics_service.read_metric("nextup_cancelled_total") == cancelled_before + 6
        assert await metrics_service.read_metric(closed_request) == closed_before + 1


async def test_connection_serves_consecutive_requests(settings: Settings) -> None:
    """Watching for a disconnect must not swallow the next request on the connection."""
    async with run_socket_service(settings) as service:
        reader, writer = await open_request(service.port, "/recommend", {"history": ["i7"]})
        for _ in range(5):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert head.startswith("http/1.1 200")
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            writer.write(build_request("/recommend", {"history": ["i7"]}))
        writer.close()
