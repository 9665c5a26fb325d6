"""Users who were stored before format 2: readable as they are, converted by the first write, with nothing lost."""

from collections.abc import Callable

import pytest

from app.stores.appends import AppendCall
from app.stores.history import HistoryStore
from app.stores.keys import build_user_keys
from app.stores.records import NewEvent, decode_records
from app.stores.redis.client import RedisClient
from app.stores.results import HistoryEntry
from app.users.service import UserService
from models.catalogue.item_key import item_keys
from service_tests.app.stores.log_entries import read_log
from service_tests.app.stores.old_format import store_old_history

pytestmark = pytest.mark.anyio

OLD_TIMES = [1_500, 2_700, 2_700, 9_999]


async def store_old_user(client: RedisClient, user: str, *, trimmed_ids: list[str] | None = None) -> list[NewEvent]:
    """Store four events, the first of which is trimmed but still in the values."""
    ids = [None, "e1", None, "e3"]
    events = [
        NewEvent(user, f"i{number}", time, event_id, "view", "r1")
        for number, (time, event_id) in enumerate(zip(OLD_TIMES, ids, strict=True))
    ]
    await store_old_history(client, user, events, version=9, watermark=1_500, trimmed=1, trimmed_ids=trimmed_ids)
    return events[1:]


async def test_old_history_is_read_without_a_write(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    events = await store_old_user(redis_client, user)
    recent, history = await store.read_recent(user), await store.read_history(user)
    assert (recent.version, recent.times.tolist()) == (9, [2, 2, 9])
    assert recent.item_keys.tolist() == item_keys(["i1", "i2", "i3"]).tolist()
    assert history.events == [HistoryEntry(event.item_id, event.timestamp_ms) for event in events]
    assert [(event.item_id, event.type) for event in await store.read_old_events(user)] == [
        ("i1", "view"),
        ("i2", "view"),
        ("i3", "view"),
    ]
    assert user in [listed async for listed in store.iter_users()]
    assert await redis_client.exists(build_user_keys(user).events)


async def test_first_event_converts_the_history_and_logs_its_events_before_the_new_one(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user, keys = new_user(), build_user_keys(user := new_user())
    events = await store_old_user(redis_client, user, trimmed_ids=["e0"])
    new = NewEvent(user, "new", 5_000, "e5")
    results = await store.append([new, NewEvent(user, "x", 6_000, "e0"), NewEvent(user, "x", 6_000, "e1")])
    assert [result.status for result in results] == ["stored", "duplicate", "duplicate"]
    assert results[0].history_version == 10
    history = await store.read_history(user)
    assert history.events == [
        HistoryEntry("i1", 2_700),
        HistoryEntry("i2", 2_700),
        HistoryEntry("new", 5_000),
        HistoryEntry("i3", 9_999),
    ]
    assert not await redis_client.exists(keys.events)
    logged = [entry[b"r"] for entry in await read_log(redis_client, user)]
    assert logged == [b"".join(event.record for event in events), new.record]
    assert [event.type for event in decode_records(logged[0])] == ["view"] * 3


async def test_duplicates_do_not_convert(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await store_old_user(redis_client, user)
    repeated = [NewEvent(user, "i2", 2_700), NewEvent(user, "x", 7, "e3")]
    assert [result.status for result in await store.append(repeated)] == ["duplicate"] * 2
    assert await redis_client.exists(build_user_keys(user).events)
    assert await read_log(redis_client, user) == []


async def test_call_without_events_converts_and_keeps_version_and_identities(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await store_old_user(redis_client, user, trimmed_ids=["e0"])
    assert await store.append_calls([AppendCall(user, b"", b"")]) == [[]]
    assert (await store.read_recent(user)).version == 9
    assert not await redis_client.exists(build_user_keys(user).events)
    assert await redis_client.pttl(build_user_keys(user).seen) > 0
    again = [NewEvent(user, "x", 99_000, event_id) for event_id in ("e0", "e1", "e3")]
    assert [result.status for result in await store.append(again)] == ["duplicate"] * 3


async def test_merge_of_two_old_users_keeps_every_event(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user, anonymous = new_user(), new_user()
    await store_old_user(redis_client, user)
    await store_old_history(redis_client, anonymous, [NewEvent(anonymous, "b", 3_000, "e8")], version=1)
    merged = await UserService(store).merge(user, anonymous)
    assert (merged.stored, merged.history_version, merged.keys_removed) == (1, 10, 2)
    assert [event.item_id for event in (await store.read_history(user)).events] == ["i1", "i2", "b", "i3"]
    assert (await store.append([NewEvent(user, "x", 99_000, "e8")]))[0].status == "duplicate"


async def test_erasure_removes_old_values(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await store_old_user(redis_client, user, trimmed_ids=["e0"])
    assert await store.erase(user) == 3
    assert await redis_client.exists(*build_user_keys(user)) == 0


async def test_old_values_that_do_not_match_start_an_empty_history_at_a_higher_version(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    events = await store_old_user(redis_client, user, trimmed_ids=["e0"])
    await redis_client.append(build_user_keys(user).items, b"x" * 12)
    assert (await store.append([NewEvent(user, "x", 1)]))[0].history_version == 10
    assert (await store.read_history(user)).events == [HistoryEntry("x", 1)]
    assert [entry[b"r"] for entry in await read_log(redis_client, user)] == [
        b"".join(event.record for event in events),
        NewEvent(user, "x", 1).record,
    ]
