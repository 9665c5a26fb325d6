"""Histories that are asked for together, on a real Redis: few commands, every answer to its caller, no harm done."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio.cluster import RedisCluster

from app.errors import DeadlineExceeded, Draining, Overloaded, StoreUnavailable
from app.item_key import item_keys
from app.stores.history import HistoryStore
from app.stores.history_reads import MAX_READS_IN_FLIGHT, MAX_USERS_PER_READ, HistoryReads
from app.stores.records import NewEvent
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, make_pipeline
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.results import StoredHistory
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
async def paused(redis_client: RedisClient, redis_url: str) -> AsyncIterator[Callable[[int], Any]]:
    """Holds back every answer of Redis for some milliseconds, writes and reads alike."""
    other = await open_redis(redis_url)

    async def pause(milliseconds: int) -> None:
        await call_each_primary(other, "CLIENT PAUSE", str(milliseconds))

    yield pause
    await call_each_primary(other, "CLIENT UNPAUSE")
    await close_redis(other)


@pytest.fixture
async def commands(redis_client: RedisClient) -> Callable[[], Any]:
    """How many commands histories were read by."""
    if isinstance(redis_client, RedisCluster):
        pytest.skip("a cluster is sent one GET per user in one pipeline per node: see test_cluster.py")

    async def count() -> int:
        return await count_calls(redis_client, "mget")

    return count


async def users_with_history(store: HistoryStore, new_user: Callable[[], str], count: int) -> list[str]:
    users = [new_user() for _ in range(count)]
    await store.append([NewEvent(user, f"of-{user}", 1) for user in users])
    return users


def belongs_to(history: StoredHistory, user: str) -> bool:
    return bool(np.array_equal(history.item_keys, item_keys([f"of-{user}"])))


async def test_reads_of_one_tick_are_one_command(
    reads: HistoryReads, store: HistoryStore, new_user: Callable[[], str], commands: Callable[[], Any]
) -> None:
    users = await users_with_history(store, new_user, 200)
    before = await commands()
    histories = await asyncio.gather(*(reads.read(user) for user in users))
    assert await commands() == before + 1
    assert all(belongs_to(history, user) for history, user in zip(histories, users, strict=True))


async def test_reads_that_come_while_others_are_under_way_go_together(
    reads: HistoryReads,
    store: HistoryStore,
    new_user: Callable[[], str],
    paused: Callable[[int], Any],
    commands: Callable[[], Any],
) -> None:
    users = await users_with_history(store, new_user, 60)
    before = await commands()
    await paused(200)
    asked = []
    for user in users:
        asked.append(asyncio.ensure_future(reads.read(user)))
        await asyncio.sleep(0.001)  # ticks of their own
    histories = await asyncio.gather(*asked)
    assert all(belongs_to(history, user) for history, user in zip(histories, users, strict=True))
    assert await commands() <= before + MAX_READS_IN_FLIGHT + 1


async def test_a_command_has_a_bounded_number_of_users(
    reads: HistoryReads, new_user: Callable[[], str], commands: Callable[[], Any]
) -> None:
    before = await commands()
    await asyncio.gather(*(reads.read(new_user()) for _ in range(2 * MAX_USERS_PER_READ + 1)))
    assert await commands() == before + 3


async def test_a_user_whom_many_ask_about_is_read_once(
    reads: HistoryReads, store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    popular, other = await users_with_history(store, new_user, 2)
    hits = await read_statistic(redis_client, "keyspace_hits")
    histories = await asyncio.gather(*(reads.read(user) for user in [popular] * 50 + [other] + [popular] * 50))
    assert await read_statistic(redis_client, "keyspace_hits") == hits + 2
    assert [belongs_to(history, popular) for history in histories] == [True] * 50 + [False] + [True] * 50


async def test_who_leaves_takes_nothing_from_the_others(
    reads: HistoryReads, store: HistoryStore, new_user: Callable[[], str], paused: Callable[[int], Any]
) -> None:
    users = await users_with_history(store, new_user, 20)
    await paused(100)
    asked = [asyncio.ensure_future(reads.read(user)) for user in users + users]
    await asyncio.sleep(0.02)
    for leaving in asked[:20:2]:
        leaving.cancel()
    for user, history in zip(users + users, await asyncio.gather(*asked, return_exceptions=True), strict=True):
        assert isinstance(history, asyncio.CancelledError) or belongs_to(history, user)  # type: ignore[arg-type]
    assert sum(one.cancelled() for one in asked) == 10


async def test_a_deadline_is_kept_while_redis_is_silent_and_costs_only_its_own_caller(
    reads: HistoryReads, store: HistoryStore, new_user: Callable[[], str], paused: Callable[[int], Any]
) -> None:
    hurried, patient = await users_with_history(store, new_user, 2)
    await paused(300)
    now = asyncio.get_running_loop().time()
    late, there = await asyncio.gather(
        reads.read(hurried, now + 0.05), reads.read(patient, now + 5), return_exceptions=True
    )
    assert isinstance(late, DeadlineExceeded)
    assert isinstance(there, StoredHistory)
    assert belongs_to(there, patient)


async def test_an_error_reaches_everybody_who_waits_and_the_next_reads_are_fresh(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        client = await open_redis(server.url)
        reads = HistoryReads(make_pipeline(client), ConcurrencyLimiter(max_in_flight=8, wait_s=1.0), queue_limit=100)
        server.stop()
        answers = await asyncio.gather(*(reads.read(f"u{number}") for number in range(20)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 20
        with EmbeddedRedis.start(tmp_path):
            assert (await reads.read("u1")).version == 0
            await close_redis(client)


async def test_those_beyond_the_limit_are_told_so_and_after_the_end_everybody_is(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    reads = HistoryReads(make_pipeline(redis_client), ConcurrencyLimiter(max_in_flight=8, wait_s=5.0), queue_limit=5)
    user = new_user()
    answers = await asyncio.gather(*(reads.read(user) for _ in range(8)), return_exceptions=True)
    assert [isinstance(answer, Overloaded) for answer in answers] == [False] * 5 + [True] * 3
    await reads.close(1.0)
    with pytest.raises(Draining):
        await reads.read(user)
