"""What was shown to users and clicked: in any order the same, bounded, short-lived, erased and merged with its user."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.stores.history import HistoryStore
from app.stores.impressions import MAX_MARKS, Impression, ImpressionStore
from app.stores.keys import build_user_keys
from app.stores.merges import STEPS
from app.stores.records import NewEvent
from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis
from models.catalogue.item_key import item_keys
from service_tests.support.stepped_merges import hold_merges

pytestmark = pytest.mark.anyio
LIFETIME_S = 86_400
NOW = int(time.time())
"""The time of the import, which may be an hour before the tests run."""
MAX_AGE_S = 600


@pytest.fixture
async def impressions(redis_client: RedisClient) -> AsyncIterator[ImpressionStore]:
    store = ImpressionStore(redis_client, wait_s=30, lifetime_s=LIFETIME_S)
    yield store
    await store.close()


async def read(impressions: ImpressionStore, user: str, since_s: float = NOW - LIFETIME_S) -> set[int]:
    deadline = asyncio.get_running_loop().time() + 30
    return set((await impressions.read_shown(user, since_s, deadline)).tolist())


def to_keys(*item_ids: str) -> set[int]:
    return set(item_keys(list(item_ids)).tolist())


def expect_shown(events: Sequence[Impression], since_s: int) -> set[int]:
    recent = [event for event in events if event.time_s >= since_s]
    clicked = {event.item_id for event in recent if event.is_click}
    return to_keys(*{event.item_id for event in recent if not event.is_click} - clicked)


times = st.integers(0, MAX_AGE_S).map(lambda age: NOW - age)
events_lists = st.lists(st.builds(Impression, st.sampled_from("abcd"), times, st.booleans()), min_size=1, max_size=20)


@settings(max_examples=10)
@given(events=events_lists, since_s=times, order=st.randoms(use_true_random=False), calls=st.integers(1, 4))
def test_order_and_repetitions_of_events_make_no_difference(
    redis_url: str, events: Sequence[Impression], since_s: int, order: Random, calls: int
) -> None:
    async def add_and_read() -> set[int]:
        client = await open_redis(redis_url, max_connections=2, timeout_s=30)
        store, user = ImpressionStore(client, wait_s=30, lifetime_s=LIFETIME_S), uuid4().hex
        try:
            for _ in range(calls):
                await store.add({user: order.sample(events, order.randint(1, len(events)))})
            shuffled = order.sample(events, len(events))
            cut = order.randint(0, len(events))
            for part in filter(None, (shuffled[:cut], shuffled[cut:])):
                await store.add({user: part})
            return await read(store, user, since_s)
        finally:
            await store.close()
            await close_redis(client)

    assert asyncio.run(add_and_read()) == expect_shown(events, since_s)


async def test_newest_impressions_are_kept_and_expire(
    impressions: ImpressionStore, new_user: Callable[[], str], redis_client: RedisClient
) -> None:
    user = new_user()
    for first in (50, 0, 100, 150):
        numbers = range(first, first + 50)
        await impressions.add({user: [Impression(f"i{number}", NOW - 300 + number) for number in numbers]})
    expected = to_keys(*(f"i{number}" for number in range(200 - MAX_MARKS, 200)))
    assert await read(impressions, user) == expected
    key = build_user_keys(user).impressions
    assert await redis_client.object("ENCODING", key) == b"listpack"
    assert (await redis_client.memory_usage(key) or 3000) < 3000
    assert 0 < await redis_client.pttl(key) <= 1000 * LIFETIME_S
    await impressions.add({user: [Impression(f"old{number}", NOW - LIFETIME_S - 60) for number in range(500)]})
    assert await read(impressions, user, 0) == expected, "older than the lifetime"


async def test_erasure_removes_impressions_and_counts_their_key(
    store: HistoryStore, impressions: ImpressionStore, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await impressions.add({user: [Impression("a", NOW)]})
    assert await store.erase(user) == 1
    assert (await read(impressions, user), await store.erase(user)) == (set(), 0)


async def test_merge_joins_impressions(
    store: HistoryStore, impressions: ImpressionStore, new_user: Callable[[], str]
) -> None:
    source, target = new_user(), new_user()
    moved = [Impression("a", NOW - 5), Impression("b", NOW - 5, is_click=True), Impression("c", NOW - 400)]
    await impressions.add({source: moved, target: [Impression("b", NOW - 9), Impression("c", NOW - 9)]})
    await store.merges.merge(source, target)
    assert await read(impressions, source) == set()
    assert await read(impressions, target) == to_keys("a", "c")
    assert await read(impressions, target, NOW - 9) == to_keys("a", "c")
    assert await read(impressions, target, NOW - 8) == to_keys("a")
    assert 0 < await store.client.pttl(build_user_keys(target).impressions) <= 1000 * LIFETIME_S


@pytest.mark.parametrize("role", ["source", "target"])
@pytest.mark.parametrize("step", STEPS)
async def test_impressions_are_where_the_events_are_after_an_erasure_during_a_merge(
    step: str, role: str, store: HistoryStore, impressions: ImpressionStore, new_user: Callable[[], str]
) -> None:
    source, target = new_user(), new_user()
    await store.append([NewEvent(source, "a", NOW)])
    await impressions.add({source: [Impression("a", NOW)]})
    async with hold_merges(store) as start:
        merge = start(source, target)
        await merge.advance_to(step)
        erasure = asyncio.create_task(store.erase(source if role == "source" else target))
        await asyncio.sleep(0)
        await merge.run_to_end()
        await erasure
    for user in (source, target):
        has_events = len(await store.read_recent(user)) > 0
        assert await read(impressions, user) == (to_keys("a") if has_events else set()), user
