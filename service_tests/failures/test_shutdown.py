"""The end of a service over a real socket: what has arrived is answered, what comes later is not taken."""

import asyncio

import pytest

from app.settings import Settings
from service_tests.failures.test_callers_that_leave import open_request, run_socket_service
from service_tests.failures.test_overload import block_model, wait_until
from service_tests.support.service import Service, get_model

pytestmark = pytest.mark.anyio


async def test_requests_in_flight_are_answered_before_the_service_ends(settings: Settings) -> None:
    async with run_socket_service(settings) as running:
        with block_model(Service(None, running.state, get_model(running.state))):  # type: ignore[arg-type]
            asked = [await open_request(running.port, "/recommend", {"history": ["i7"]}) for _ in range(4)]
            await wait_until(lambda: get_model(running.state).engine._batcher.depth > 0)
            running.server.should_exit = True
            await wait_until(lambda: not running.server.servers[0].is_serving())
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", running.port)
        for reader, writer in asked:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
