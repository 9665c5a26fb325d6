"""Idle time of real protocol objects of uvicorn: fresh, answered, and with a request that is not complete."""

import asyncio

import pytest

from app.settings import Settings
from app.worker.idle import get_idle_s
from service_tests.failures.test_client_disconnects import build_request, run_socket_service

pytestmark = [pytest.mark.anyio, pytest.mark.process]


async def test_idle_time_counts_from_the_last_answer_and_not_during_a_request(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    async with run_socket_service(settings) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await asyncio.sleep(0.05)
        (connection,) = service.server.server_state.connections
        opened_at = loop.time() - 7
        assert get_idle_s(connection, loop.time(), opened_at) == pytest.approx(7, abs=0.5)
        request = build_request("/recommend", {"history": ["i7"]})
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        await asyncio.sleep(0.2)
        idle_s = get_idle_s(connection, loop.time(), opened_at)
        assert idle_s is not None
        assert 0.15 < idle_s < 3
        writer.write(request[:20])
        await asyncio.sleep(0.05)
        assert get_idle_s(connection, loop.time(), opened_at) is None
        writer.close()
