"""The address of a consumer's metrics: protected by its key, and not ready while the store does not answer."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.redis.connect import close_redis, open_redis
from app.streaming.metrics_server import serve_metrics
from app.telemetry.metrics import EVENT_LOG_LIMIT
from service_tests.support.redis_processes import RedisProcess

pytestmark = [pytest.mark.anyio, pytest.mark.process]

KEY = "m3trics-Zx81"


@asynccontextmanager
async def run_server(store: HistoryStore, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with serve_metrics(listener, settings, store), httpx.AsyncClient(base_url=url, timeout=20) as client:
            async with asyncio.timeout(20):
                while not await is_serving(client):  # noqa: ASYNC110 - a state of the server
                    await asyncio.sleep(0.02)
            yield client


async def is_serving(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/livez")).status_code == 200
    except httpx.TransportError:
        return False


async def wait_for_status(client: httpx.AsyncClient, status: int) -> None:
    async with asyncio.timeout(20):
        while (await client.get("/readyz")).status_code != status:  # noqa: ASYNC110 - a state of the server
            await asyncio.sleep(0.02)


async def test_metrics_need_their_key_if_it_is_set_and_health_checks_do_not(store: HistoryStore) -> None:
    async with run_server(store, Settings(metrics_key=SecretStr(KEY))) as client:
        refused = await client.get("/metrics")
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
        answer = await client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"})
        assert "nextup_store_up" in answer.text
        assert (await client.get("/livez")).status_code == 200
    async with run_server(store, Settings()) as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/events")).status_code == 404


async def test_consumer_reports_the_limit_of_the_log_that_it_writes(store: HistoryStore) -> None:
    EVENT_LOG_LIMIT.set(0)
    async with run_server(store, Settings(event_log_max_entries=5_000)) as client:
        assert "nextup_event_log_limit_entries 5000.0" in (await client.get("/metrics")).text


async def test_consumer_is_ready_while_the_store_answers(
    stream_server: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.streaming.metrics_server.HEALTH_INTERVAL_S", 0.05)
    redis = await open_redis(f"redis://127.0.0.1:{stream_server.port}", timeout_s=5)
    async with run_server(HistoryStore(redis), Settings()) as client:
        await wait_for_status(client, 200)
        stream_server.kill()
        await wait_for_status(client, 503)
        assert "nextup_store_up 0.0" in (await client.get("/metrics")).text
        stream_server.start()
        await wait_for_status(client, 200)
    await close_redis(redis)
