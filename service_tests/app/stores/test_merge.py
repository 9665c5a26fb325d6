"""Merging two users: repeatable, nothing lost while the source still changes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from app.errors import InvalidRequest, StoreUnavailable
from app.stores.history import HistoryStore
from app.stores.merge import merge_histories
from app.stores.records import NewEvent
from app.stores.results import AppendResult

pytestmark = pytest.mark.anyio


async def items(store: HistoryStore, user: str) -> list[str]:
    return [event.item_id for event in (await store.read_history(user)).events]


async def test_events_of_both_end_up_in_time_order_and_the_source_is_gone(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    known, anonymous = new_user(), new_user()
    await store.append([NewEvent(known, "a", 1000), NewEvent(known, "c", 3000), NewEvent(known, "both", 5000, "e")])
    await store.append([NewEvent(anonymous, "b", 2000, type="view"), NewEvent(anonymous, "both", 5000, "e")])
    merged = await merge_histories(store, known, anonymous)
    assert (merged.stored, merged.history_version, merged.keys_removed) == (1, 4, 2)
    assert await items(store, known) == ["a", "b", "c", "both"]
    assert (await store.read_history(known)).events[1].type == "view"
    assert (await store.read_recent(known)).times.tolist() == [1, 2, 3, 5]
    assert await store.erase(anonymous) == 0


async def test_a_merge_that_stopped_before_erasing_is_repeated_without_effect_on_the_history(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    known, anonymous = new_user(), new_user()
    half_done = [NewEvent(anonymous, "a", 1), NewEvent(anonymous, "b", 2, "e")]
    await store.append(half_done)
    await store.append([NewEvent(known, e.item_id, e.timestamp_ms, e.event_id) for e in half_done])
    merged = await merge_histories(store, known, anonymous)
    assert (merged.stored, merged.history_version, merged.keys_removed) == (0, 2, 2)
    assert (await merge_histories(store, known, anonymous)).keys_removed == 0
    assert await items(store, known) == ["a", "b"]


async def test_a_user_merged_into_itself_is_refused_and_keeps_everything(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await store.append([NewEvent(user, "a", 1)])
    with pytest.raises(InvalidRequest):
        await merge_histories(store, user, user)
    assert await items(store, user) == ["a"]


@pytest.mark.slow
async def test_no_event_is_lost_while_the_source_still_receives_and_several_merge_at_once(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    big = HistoryStore(store.client, max_events=1000, wait_s=30.0)
    known, anonymous = new_user(), new_user()

    async def send() -> list[AppendResult]:
        results = []
        for number in range(300):
            results += await big.append([NewEvent(anonymous, f"item{number}", number, f"e{number}")])
            await asyncio.sleep(0.001)
        return results

    async def merge() -> None:
        for _ in range(30):
            with suppress(StoreUnavailable):  # it gives up when the source never rests; the next one goes on
                await merge_histories(big, known, anonymous)
            await asyncio.sleep(0.005)

    await asyncio.gather(send(), merge(), merge())
    await merge_histories(big, known, anonymous)
    assert await items(big, known) == [f"item{number}" for number in range(300)]
    await big.close()
