"""Erasures, events, repetitions and deaths of the process in front of every step of a merge."""

from collections.abc import Callable

import pytest

from app.errors import DamagedHistory
from app.stores.history import HistoryStore
from app.stores.keys import build_user_keys
from app.stores.log_streams import LogStreams
from app.stores.merges import STEPS
from app.stores.records import NewEvent
from service_tests.support.stepped_merges import hold_merges

pytestmark = pytest.mark.anyio
TOO_LATE = ("settle", "forget")
"""Steps in front of which the target has the events."""


async def read_items(store: HistoryStore, user: str) -> list[str | None]:
    return [event.item_id for event in (await store.read_history(user)).events]


async def add_events(store: HistoryStore, source: str, target: str) -> None:
    await store.append([NewEvent(source, "a", 1, "e1"), NewEvent(source, "b", 2), NewEvent(target, "own", 3)])


@pytest.mark.parametrize("step", STEPS)
async def test_erasure_of_the_source_wins_until_the_target_has_the_events(
    step: str, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    source, target = new_user(), new_user()
    await add_events(store, source, target)
    async with hold_merges(store) as start:
        merge = start(source, target)
        await merge.advance_to(step)
        keys_removed = await store.erase(source)
        is_moved = step in TOO_LATE
        expected = ["a", "b", "own"] if is_moved else ["own"]
        assert await read_items(store, target) == expected
        assert keys_removed == (0 if is_moved or step == "apply" else 2)
        assert (await merge.finish()).stored == (2 if is_moved else 0)
    assert await read_items(store, target) == expected
    assert await read_items(store, source) == []
    await check_nothing_is_left(store, source, target)


@pytest.mark.parametrize("step", STEPS)
async def test_erasure_of_the_target_leaves_all_or_nothing(
    step: str, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    source, target = new_user(), new_user()
    await add_events(store, source, target)
    async with hold_merges(store) as start:
        merge = start(source, target)
        await merge.advance_to(step)
        await store.erase(target)
        await merge.finish()
    moved_after = STEPS.index(step) <= STEPS.index("stage")
    assert await read_items(store, target) == (["a", "b"] if moved_after else [])
    assert await read_items(store, source) == []
    await check_nothing_is_left(store, source, target)


@pytest.mark.parametrize("step", STEPS)
async def test_event_of_the_source_during_a_merge_is_moved_or_stays(
    step: str, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    source, target = new_user(), new_user()
    await add_events(store, source, target)
    async with hold_merges(store) as start:
        merge = start(source, target)
        await merge.advance_to(step)
        await store.append([NewEvent(source, "new", 4)])
        await merge.finish()
    is_moved = STEPS.index(step) <= STEPS.index("commit")
    assert await read_items(store, target) == ["a", "b", "own", *(["new"] if is_moved else [])]
    assert await read_items(store, source) == ([] if is_moved else ["new"])


async def test_commit_after_a_change_of_the_events_removes_nothing(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    source, target = new_user(), new_user()
    await store.append([NewEvent(source, "a", 1)])
    async with hold_merges(store) as start:
        merge = start(source, target)
        await merge.advance_to("commit")
        await store.append([NewEvent(source, "b", 2)])
        assert await merge.advance() == "offer"  # of the next attempt
        assert await read_items(store, source) == ["a", "b"]
        assert (await merge.finish()).keys_removed == 1


@pytest.mark.parametrize("step", STEPS)
async def test_merge_that_died_is_finished_by_the_next_one(
    step: str, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    source, target = new_user(), new_user()
    await add_events(store, source, target)
    async with hold_merges(store) as start:
        await start(source, target).advance_to(step)
        result = await store.merges.merge(source, target)
        assert await read_items(store, target) == ["a", "b", "own"]
        assert await read_items(store, source) == []
    assert result.stored == (0 if step in TOO_LATE else 2), "events that this call has added, not those from before"
    assert (await store.merges.merge(source, target)).stored == 0


@pytest.mark.parametrize("step", STEPS)
async def test_merge_into_another_user_finishes_the_one_that_died_and_does_not_count_it(
    step: str, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    source, target, other = new_user(), new_user(), new_user()
    await add_events(store, source, target)
    async with hold_merges(store) as start:
        await start(source, target).advance_to(step)
        result = await store.merges.merge(source, other)
        is_committed = STEPS.index(step) > STEPS.index("commit")
        assert await read_items(store, target) == (["a", "b", "own"] if is_committed else ["own"])
        assert await read_items(store, other) == ([] if is_committed else ["a", "b"])
    assert result.stored == (0 if is_committed else 2)


@pytest.mark.parametrize("step", STEPS)
async def test_merge_that_died_is_erased_with_its_source(
    step: str, store: HistoryStore, new_user: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.merges.FINISH_WAIT_S", 0.05)
    source, target = new_user(), new_user()
    await add_events(store, source, target)
    async with hold_merges(store) as start:
        await start(source, target).advance_to(step)
        await store.erase(source)
        assert await store.client.exists(build_user_keys(source).merges) == 0
        await store.merges.merge(source, target)  # finds nothing to finish
        assert await read_items(store, target) == (["a", "b", "own"] if step in TOO_LATE else ["own"])


@pytest.mark.parametrize("step", STEPS)
async def test_merges_at_the_same_time_move_every_event_once(
    step: str, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    source, target, other = new_user(), new_user(), new_user()
    await add_events(store, source, target)
    async with hold_merges(store) as start:
        merge = start(source, target)
        await merge.advance_to(step)
        await store.merges.merge(source, other)
        await merge.finish()
    is_first = STEPS.index(step) > STEPS.index("commit")
    assert await read_items(store, target) == (["a", "b", "own"] if is_first else ["own"])
    assert await read_items(store, other) == ([] if is_first else ["a", "b"])
    await check_nothing_is_left(store, source, target, other)


async def test_erasure_of_a_merged_user_keeps_the_log_entries_of_the_target(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    source, target, streams = new_user(), new_user(), LogStreams(store.client)
    await add_events(store, source, target)
    await store.merges.merge(source, target)
    await store.append([NewEvent(source, "later", 5)])
    await store.erase(source)
    assert await streams.remove_events(source) == 1
    page = await streams.read_page(streams.find_key(source), None, 100_000)
    items = [event.item_id for entry in page.entries if entry.user_id == source for event in entry.iter_events()]
    assert items == ["a", "b"]


@pytest.mark.parametrize("role", ["source", "target"])
@pytest.mark.parametrize("name", ["items", "seen", "merges"])
async def test_key_of_another_type_is_reported_as_damage_and_can_be_erased(
    name: str, role: str, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    source, target = new_user(), new_user()
    await add_events(store, source, target)
    damaged = source if role == "source" else target
    key = getattr(build_user_keys(damaged), name)
    await store.client.delete(key)
    await store.client.rpush(key, "x")
    if (name, role) != ("seen", "target"):  # events are added to a history without its identities
        with pytest.raises(DamagedHistory):
            await store.merges.merge(source, target)
        assert await read_items(store, target if role == "source" else source) == (
            ["own"] if role == "source" else ["a", "b"]
        )
    await store.erase(damaged)
    assert await store.client.exists(key) == 0
    await store.merges.merge(source, target)


async def check_nothing_is_left(store: HistoryStore, *users: str) -> None:
    for user in users:
        assert await store.client.hgetall(build_user_keys(user).merges) == {}
