"""Batched reads on a real Redis: few commands, every history to its caller, and isolated failures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio.cluster import RedisCluster

from app.errors import DeadlineExceeded, Draining, Overloaded, StoreUnavailable
from app.stores.history import HistoryStore
from app.stores.history_reads import MAX_READS_IN_FLIGHT, MAX_USERS_PER_READ, HistoryReads
from app.stores.records import NewEvent
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, make_pipeline
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.results import StoredHistory
from models.catalogue.item_key import item_keys
from service_tests.app.stores.servers import call_each_primary, count_calls, read_statistic

pytestmark = pytest.mark.anyio


@pytest.fixture
async def reads(redis_client: RedisClient) -> AsyncIterator[HistoryReads]:
    reads = HistoryReads(
        make_pipeline(redis_client), ConcurrencyLimiter(max_in_flight=8, wait_s=5.0), queue_limit=10_000
    )
    yield reads
    await reads.close(1.0)


@pytest.fixture
async def pause_redis(redis_client: RedisClient, redis_url: str) -> AsyncIterator[Callable[[int], Any]]:
    """Return a function that delays all commands for some milliseconds."""
    control_client = await open_redis(redis_url)

    async def pause(milliseconds: int) -> None:
        await call_each_primary(control_client, "CLIENT PAUSE", str(milliseconds))

    yield pause
    await call_each_primary(control_client, "CLIENT UNPAUSE")
    await close_redis(control_client)


@pytest.fixture
async def count_reads(redis_client: RedisClient) -> Callable[[], Any]:
    """Return a function that counts the commands that read histories."""
    if isinstance(redis_client, RedisCluster):
        pytest.skip("a cluster receives one GET per user in one pipeline per node: see test_cluster.py")

    async def count() -> int:
        return await count_calls(redis_client, "mget")

    return count


async def create_users(store: HistoryStore, new_user: Callable[[], str], count: int) -> list[str]:
    users = [new_user() for _ in range(count)]
    await store.append([NewEvent(user, f"of-{user}", 1) for user in users])
    return users


def is_history_of(history: StoredHistory, user: str) -> bool:
    return bool(np.array_equal(history.item_keys, item_keys([f"of-{user}"])))


async def test_reads_of_one_tick_share_one_command(
    reads: HistoryReads, store: HistoryStore, new_user: Callable[[], str], count_reads: Callable[[], Any]
) -> None:
    users = await create_users(store, new_user, 200)
    before = await count_reads()
    histories = await asyncio.gather(*(reads.read(user) for user in users))
    assert await count_reads() == before + 1
    assert all(is_history_of(history, user) for history, user in zip(histories, users, strict=True))


async def test_reads_that_arrive_during_other_reads_are_batched(
    reads: HistoryReads,
    store: HistoryStore,
    new_user: Callable[[], str],
    pause_redis: Callable[[int], Any],
    count_reads: Callable[[], Any],
) -> None:
    users = await create_users(store, new_user, 60)
    before = await count_reads()
    await pause_redis(800)  # longer than 60 ticks, on a busy machine too
    tasks = []
    for user in users:
        tasks.append(asyncio.ensure_future(reads.read(user)))
        await asyncio.sleep(0.001)  # each in its own tick
    histories = await asyncio.gather(*tasks)
    assert all(is_history_of(history, user) for history, user in zip(histories, users, strict=True))
    assert await count_reads() <= before + MAX_READS_IN_FLIGHT + 1


async def test_command_reads_a_bounded_number_of_users(
    reads: HistoryReads, new_user: Callable[[], str], count_reads: Callable[[], Any]
) -> None:
    before = await count_reads()
    await asyncio.gather(*(reads.read(new_user()) for _ in range(2 * MAX_USERS_PER_READ + 1)))
    assert await count_reads() == before + 3


async def test_concurrent_reads_of_one_user_are_deduplicated(
    reads: HistoryReads, store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    popular, rare = await create_users(store, new_user, 2)
    hits = await read_statistic(redis_client, "keyspace_hits")
    histories = await asyncio.gather(*(reads.read(user) for user in [popular] * 50 + [rare] + [popular] * 50))
    assert await read_statistic(redis_client, "keyspace_hits") == hits + 2
    assert [is_history_of(history, popular) for history in histories] == [True] * 50 + [False] + [True] * 50


async def test_cancelled_read_does_not_affect_other_readers(
    reads: HistoryReads, store: HistoryStore, new_user: Callable[[], str], pause_redis: Callable[[int], Any]
) -> None:
    users = await create_users(store, new_user, 20)
    await pause_redis(100)
    tasks = [asyncio.ensure_future(reads.read(user)) for user in users + users]
    await asyncio.sleep(0.02)
    for task in tasks[:20:2]:
        task.cancel()
    for user, history in zip(users + users, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
        assert isinstance(history, asyncio.CancelledError) or is_history_of(history, user)  # type: ignore[arg-type]
    assert sum(task.cancelled() for task in tasks) == 10


async def test_deadline_passes_during_a_slow_read_without_affecting_other_readers(
    reads: HistoryReads, store: HistoryStore, new_user: Callable[[], str], pause_redis: Callable[[int], Any]
) -> None:
    hurried, patient = await create_users(store, new_user, 2)
    await pause_redis(300)
    now = asyncio.get_running_loop().time()
    expired, history = await asyncio.gather(
        reads.read(hurried, now + 0.05), reads.read(patient, now + 5), return_exceptions=True
    )
    assert isinstance(expired, DeadlineExceeded)
    assert isinstance(history, StoredHistory)
    assert is_history_of(history, patient)


@pytest.mark.process
async def test_error_reaches_every_reader_of_a_command_and_the_next_read_succeeds(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        client = await open_redis(server.url)
        reads = HistoryReads(make_pipeline(client), ConcurrencyLimiter(max_in_flight=8, wait_s=1.0), queue_limit=100)
        server.stop()
        results = await asyncio.gather(*(reads.read(f"u{number}") for number in range(20)), return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 20
        with EmbeddedRedis.start(tmp_path):
            assert (await reads.read("u1")).version == 0
            await close_redis(client)


async def test_reads_beyond_the_queue_limit_are_overloaded_and_reads_after_close_draining(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    reads = HistoryReads(make_pipeline(redis_client), ConcurrencyLimiter(max_in_flight=8, wait_s=5.0), queue_limit=5)
    user = new_user()
    results = await asyncio.gather(*(reads.read(user) for _ in range(8)), return_exceptions=True)
    assert [isinstance(result, Overloaded) for result in results] == [False] * 5 + [True] * 3
    unused_reads = HistoryReads(
        make_pipeline(redis_client), ConcurrencyLimiter(max_in_flight=8, wait_s=5.0), queue_limit=5
    )
    await asyncio.gather(reads.close(1.0), unused_reads.close(1.0))
    for closed_reads in (reads, unused_reads):
        with pytest.raises(Draining):
            await closed_reads.read(user)
