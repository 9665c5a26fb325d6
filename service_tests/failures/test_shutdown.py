"""Graceful shutdown over a real socket: accepted requests are answered, later connections are refused."""

import asyncio

import pytest

from app.settings import Settings
from service_tests.failures.test_client_disconnects import open_request, run_socket_service
from service_tests.support.service import get_model, wait_until

pytestmark = pytest.mark.anyio


async def test_requests_in_flight_are_answered_before_the_service_ends(settings: Settings) -> None:
    async with run_socket_service(settings) as service:
        engine = get_model(service.state).engine
        with engine.block_thread():
            requests = [await open_request(service.port, "/recommend", {"history": ["i7"]}) for _ in range(4)]
            await wait_until(lambda: engine.queue_depth > 0)
            service.server.should_exit = True
            await wait_until(lambda: not service.server.servers[0].is_serving())
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", service.port)
        for reader, writer in requests:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
