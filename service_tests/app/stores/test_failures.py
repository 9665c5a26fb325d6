"""Redis that is slow, full, read-only or down: one kind of error, and never the reply of another caller."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis
from models.catalogue.item_key import item_keys
from service_tests.app.stores.servers import call_each_primary

pytestmark = [pytest.mark.anyio, pytest.mark.process]


@dataclass
class Recorder:
    operations: list[tuple[str, bool]] = field(default_factory=list)

    def observe(self, operation: str, seconds: float, error: bool) -> None:
        assert seconds >= 0
        self.operations.append((operation, error))


@pytest.fixture
async def private_server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """A server that a test may break."""
    with EmbeddedRedis.start(tmp_path) as server:
        yield server


async def test_every_operation_on_a_dead_server_raises_store_unavailable_with_its_name(
    private_server: EmbeddedRedis,
) -> None:
    recorder = Recorder()
    client = await open_redis(private_server.url)
    store = HistoryStore(client, observer=recorder)
    await store.ping()
    private_server.stop()
    operations = {
        "recent": store.read_recent("u"),
        "append": store.append([NewEvent("u", "a", 1)]),
        "read": store.read_history("u"),
        "erase": store.erase("u"),
        "scan": anext(aiter(store.iter_users())),
        "info": store.read_usage(),
        "ping": store.ping(),
    }
    for name, operation in operations.items():
        with pytest.raises(StoreUnavailable, match=name):
            await operation
    assert recorder.operations == [("ping", False), *((name, True) for name in operations)]
    await close_redis(client)


async def test_store_recovers_from_a_full_a_read_only_and_a_stopped_server(
    private_server: EmbeddedRedis, tmp_path: Path
) -> None:
    client = await open_redis(private_server.url)
    store = HistoryStore(client)
    await client.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="append"):
        await store.append([NewEvent("u", "a", 1)])
    await client.config_set("maxmemory", 0)
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="append"):
        await store.append([NewEvent("u", "a", 1)])
    await client.execute_command("REPLICAOF", "NO", "ONE")
    private_server.stop()
    with EmbeddedRedis.start(tmp_path):
        assert (await store.append([NewEvent("u", "a", 1)]))[0].status == "stored"
        assert (await store.read_recent("u")).version == 1
        await close_redis(client)


async def test_callers_of_a_hanging_server_wait_only_until_deadline_or_timeout(private_server: EmbeddedRedis) -> None:
    client = await open_redis(private_server.url, timeout_s=0.3)
    control_client = await open_redis(private_server.url)
    store = HistoryStore(client, max_in_flight=1, wait_s=0.05)
    await control_client.execute_command("CLIENT", "PAUSE", "2000")
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    results = await asyncio.gather(
        store.read_recent("u", loop.time() + 0.1), store.read_history("u"), store.ping(), return_exceptions=True
    )
    assert loop.time() - started_at < 1
    assert [type(result).__name__ for result in results].count("StoreUnavailable") >= 2
    assert "no connection was free" in "".join(map(str, results))
    await close_redis(client)
    await close_redis(control_client)


@pytest.mark.slow
async def test_replies_to_cancelled_callers_never_reach_another_caller(
    redis_url: str, new_user: Callable[[], str]
) -> None:
    client = await open_redis(redis_url, max_connections=4, timeout_s=10.0)
    control_client = await open_redis(redis_url)
    store = HistoryStore(client, max_in_flight=4, wait_s=10.0)
    generator = random.Random(5)
    users = [new_user() for _ in range(50)]
    await store.append([NewEvent(user, f"item-of-{user}", 1) for user in users])

    async def check(user: str) -> None:
        item = f"item-of-{user}"
        assert [event.item_id for event in (await store.read_history(user)).events] == [item]
        assert (await store.read_recent(user)).item_keys.tolist() == item_keys([item]).tolist()
        assert [(a.status, a.history_version) for a in await store.append([NewEvent(user, item, 1)])] == [
            ("duplicate", 1)
        ]

    cancelled = 0
    for _ in range(30):
        await call_each_primary(control_client, "CLIENT PAUSE", "15")
        tasks = [asyncio.create_task(check(generator.choice(users))) for _ in range(40)]
        await asyncio.sleep(generator.random() * 0.02)
        for task in generator.sample(tasks, 20):
            cancelled += task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), result
    assert cancelled > 100
    await asyncio.gather(*(check(user) for user in users))
    await store.close()
    await close_redis(client)
    await close_redis(control_client)
