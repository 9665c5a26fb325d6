"""Merging two users: repeatable, and no event is lost while the source still changes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest

from app.errors import DamagedHistory, InvalidRequest, StoreUnavailable
from app.stores.history import HistoryStore
from app.stores.keys import build_user_keys
from app.stores.records import NewEvent
from app.stores.results import AppendResult
from app.users.service import UserService

pytestmark = pytest.mark.anyio


async def read_items(store: HistoryStore, user: str) -> list[str | None]:
    return [event.item_id for event in (await store.read_history(user)).events]


async def test_merge_orders_events_of_both_users_by_time_and_erases_the_source(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    user, anonymous = new_user(), new_user()
    await store.append([NewEvent(user, "a", 1000), NewEvent(user, "c", 3000), NewEvent(user, "both", 5000, "e")])
    await store.append([NewEvent(anonymous, "b", 2000, type="view"), NewEvent(anonymous, "both", 5000, "e")])
    merged = await UserService(store).merge(user, anonymous)
    assert (merged.stored, merged.history_version, merged.keys_removed) == (1, 4, 2)
    assert await read_items(store, user) == ["a", "b", "c", "both"]
    assert (await store.read_recent(user)).times.tolist() == [1, 2, 3, 5]
    assert await store.erase(anonymous) == 0


async def test_repeating_a_merge_that_stopped_before_the_erasure_does_not_change_the_history(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    user, anonymous = new_user(), new_user()
    events = [NewEvent(anonymous, "a", 1), NewEvent(anonymous, "b", 2, "e")]
    await store.append(events)
    await store.append([NewEvent(user, e.item_id, e.timestamp_ms, e.event_id) for e in events])
    merged = await UserService(store).merge(user, anonymous)
    assert (merged.stored, merged.history_version, merged.keys_removed) == (0, 2, 2)
    assert (await UserService(store).merge(user, anonymous)).keys_removed == 0
    assert await read_items(store, user) == ["a", "b"]


async def test_merging_a_user_into_itself_is_rejected_and_keeps_its_events(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await store.append([NewEvent(user, "a", 1)])
    with pytest.raises(InvalidRequest):
        await UserService(store).merge(user, user)
    assert await read_items(store, user) == ["a"]


async def test_invalid_ids_are_rejected_as_invalid_requests(store: HistoryStore, new_user: Callable[[], str]) -> None:
    users = UserService(store)
    for call in (users.read_history("\ud800"), users.erase("\ud800"), users.merge(new_user(), "\ud800")):
        with pytest.raises(InvalidRequest, match="user_id: must be valid Unicode text"):
            await call


async def test_damaged_source_is_neither_merged_nor_erased(store: HistoryStore, new_user: Callable[[], str]) -> None:
    user, anonymous = new_user(), new_user()
    await store.append([NewEvent(anonymous, "a", 1), NewEvent(anonymous, "b", 2)])
    value = cast("bytes", await store.client.get(build_user_keys(anonymous).items))
    await store.client.set(build_user_keys(anonymous).items, value[:-1])
    with pytest.raises(DamagedHistory, match="bytes do not hold 2 of"):
        await UserService(store).merge(user, anonymous)
    assert await store.client.get(build_user_keys(anonymous).items) == value[:-1]
    assert (await store.read_recent(user)).version == 0


@pytest.mark.slow
async def test_concurrent_merges_lose_no_event_while_the_source_still_receives_events(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    big = HistoryStore(store.client, max_events=1000, wait_s=30.0)
    users = UserService(big)
    user, anonymous = new_user(), new_user()

    async def send() -> list[AppendResult]:
        results = []
        for number in range(300):
            results += await big.append([NewEvent(anonymous, f"item{number}", number, f"e{number}")])
            await asyncio.sleep(0.001)
        return results

    async def merge() -> None:
        for _ in range(30):
            with suppress(StoreUnavailable):  # the source changed during every attempt; the next merge continues
                await users.merge(user, anonymous)
            await asyncio.sleep(0.005)

    await asyncio.gather(send(), merge(), merge())
    await users.merge(user, anonymous)
    assert await read_items(big, user) == [f"item{number}" for number in range(300)]
    await big.close()
