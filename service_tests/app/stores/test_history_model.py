"""Property tests: after any appends, merges, erasures and changes of format, the store equals the reference history."""

import asyncio
import random
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.stores.entries import GAP
from app.stores.history import HistoryStore
from app.stores.keys import build_user_keys
from app.stores.records import MAX_TIMESTAMP_MS, NewEvent
from app.stores.redis.connect import close_redis, open_redis
from app.stores.results import AppendResult
from app.users.service import UserService
from models.catalogue.item_key import item_keys
from service_tests.app.stores.old_format import store_old_history
from service_tests.app.stores.reference_history import ReferenceHistory

USERS = ["first", "second}%"]


@dataclass(frozen=True)
class Change:
    """Erases a user, expires its identities, or stores it in the format before."""

    user: str
    kind: Literal["erase", "forget ids", "old format"]


Step = list[NewEvent] | Change | tuple[str, ...]
small_times = st.integers(-3, 12).map(lambda step: 700 * step)
far_times = st.sampled_from(
    [GAP - 1, GAP, GAP + 1, 2 * GAP + 700, 10**12, -(10**12), MAX_TIMESTAMP_MS, -MAX_TIMESTAMP_MS]
)
events = st.builds(
    NewEvent,
    user_id=st.sampled_from(USERS),
    item_id=st.sampled_from(["a", "b", "ü{}"]),
    timestamp_ms=small_times | small_times | small_times | far_times,
    event_id=st.none() | st.integers(0, 12).map("e{}".format),
    type=st.sampled_from([None, "", "view"]),
    recommendation_id=st.sampled_from([None, "r1"]),
)
appends = st.lists(events, min_size=1, max_size=12)
changes = st.builds(Change, st.sampled_from(USERS), st.sampled_from(["erase", "forget ids", "old format"]))
merges = st.permutations(USERS).map(tuple)
steps = st.lists(appends | appends | appends | changes | merges, max_size=25)


async def apply_change(store: HistoryStore, user: str, change: Change, history: ReferenceHistory) -> ReferenceHistory:
    if change.kind == "erase":
        await store.erase(user)
        return ReferenceHistory(history.max_events)
    if change.kind == "forget ids":
        await store.client.delete(build_user_keys(user).seen)
        if await store.client.exists(build_user_keys(user).events):
            history.trimmed_ids = []  # the old format had only those of trimmed events there
            history.has_ids = any(event.event_id is not None for event in history.events)
        else:
            history.forget_ids()
    elif history.events:
        history.store_in_old_format()
        await store_old_history(
            store.client,
            user,
            [_prefix_user(user.removesuffix(change.user), event) for event in history.events],
            version=history.version,
            watermark=history.watermark,
            trimmed_ids=[event_id for event_id in history.trimmed_ids if event_id is not None],
        )
    return history


async def check_steps(url: str, max_events: int, steps: list[Step]) -> None:
    run = uuid4().hex
    client = await open_redis(url, timeout_s=5.0)
    store = HistoryStore(client, max_events=max_events)
    histories = {user: ReferenceHistory(max_events) for user in USERS}
    for step in steps:
        if isinstance(step, Change):
            histories[step.user] = await apply_change(store, run + step.user, step, histories[step.user])
        elif isinstance(step, tuple):
            into, source = step
            merged = await UserService(store).merge(run + into, run + source)
            results = histories[into].append(histories[source].events)
            histories[source] = ReferenceHistory(max_events)
            assert merged.stored == sum(result.status == "stored" for result in results)
        else:
            expected: list[AppendResult | None] = [None] * len(step)
            for user in USERS:
                indices = [index for index, event in enumerate(step) if event.user_id == user]
                for index, result in zip(indices, histories[user].append([step[i] for i in indices]), strict=True):
                    expected[index] = result
            assert await store.append([_prefix_user(run, event) for event in step]) == expected
        stored_histories = await asyncio.gather(*(store.read_history(run + user) for user in USERS))
        recent_histories = await asyncio.gather(*(store.read_recent(run + user) for user in USERS))
        for history, stored, recent in zip(histories.values(), stored_histories, recent_histories, strict=True):
            assert (stored.version, stored.events) == (history.version, history.read_history())
            assert recent.version == history.version
            assert recent.item_keys.tolist() == item_keys(e.item_id for e in history.events).tolist()
            assert recent.times.tolist() == [min(max(0, e.timestamp_ms // 1000), 2**32 - 1) for e in history.events]
    for user in USERS:
        await store.erase(run + user)
    await store.close()
    await close_redis(client)


def _prefix_user(run: str, event: NewEvent) -> NewEvent:
    return NewEvent(
        run + event.user_id, event.item_id, event.timestamp_ms, event.event_id, event.type, event.recommendation_id
    )


def scale_count(redis_url: str, server_count: int) -> int:
    """Run fewer cases behind Sentinel and on a cluster, where the same script is called another way."""
    return server_count if redis_url.startswith("unix:") else server_count // 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_store_equals_the_reference_after_any_steps(redis_url: str) -> None:
    @settings(max_examples=scale_count(redis_url, 60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(max_events=st.integers(1, 12), steps=steps)
    def check(max_events: int, steps: list[Step]) -> None:
        asyncio.run(check_steps(redis_url, max_events, steps))

    check()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_store_equals_the_reference_over_long_random_histories(redis_url: str) -> None:
    """Append mostly single newest events, enough of them to cut off trimmed events and old identities."""
    generator = random.Random(7)
    for max_events in (3, 20, 40):
        steps: list[Step] = []
        for now in range(scale_count(redis_url, 400)):
            batch = [
                NewEvent(
                    USERS[0],
                    generator.choice("abcdefgh"),
                    700 * (now + (generator.randint(-30, 0) if generator.random() < 0.1 else 0)),
                    generator.choice([None, f"e{now}", f"e{generator.randint(0, now)}"]),
                )
                for _ in range(40 if generator.random() < 0.02 else 1)
            ]
            steps.append(batch)
        asyncio.run(check_steps(redis_url, max_events, steps))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_repeated_concurrent_unordered_events_are_stored_once_in_time_order(redis_url: str) -> None:
    run, times = uuid4().hex, scale_count(redis_url, 20)
    all_events = [
        NewEvent(f"{run}{number % 5}", f"item{number}", 1000 * number, f"e{number}" if number % 2 else None)
        for number in range(1000)
    ]
    repeated_events = all_events * times
    random.Random(3).shuffle(repeated_events)

    async def check() -> None:
        client = await open_redis(redis_url, timeout_s=30.0)
        store = HistoryStore(client, max_events=1000, wait_s=100.0)
        results = await asyncio.gather(*(store.append([event]) for event in repeated_events))
        assert sum(result.status == "stored" for (result,) in results) == 1000
        assert sum(result.status == "duplicate" for (result,) in results) == 1000 * (times - 1)
        for user in range(5):
            history = await store.read_history(f"{run}{user}")
            expected = [event for event in all_events if event.user_id == f"{run}{user}"]
            assert history.version == 200
            assert [(e.item_id, e.timestamp_ms) for e in history.events] == [
                (e.item_id, e.timestamp_ms) for e in expected
            ]
            recent = await store.read_recent(f"{run}{user}")
            assert recent.item_keys.tolist() == item_keys(e.item_id for e in expected).tolist()
            assert recent.times.tolist() == [e.timestamp_ms // 1000 for e in expected]
        await store.close()
        await close_redis(client)

    asyncio.run(check())
