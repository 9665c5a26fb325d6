"""The history store on a real Redis: lifetimes, limits, reading together, listing, scripts."""

import asyncio
import struct
from collections.abc import Callable

import pytest

from app.errors import InvalidRequest, StoreUnavailable
from app.item_key import item_keys
from app.stores.entries import ENTRY_BYTES, encode_entry
from app.stores.history import HistoryStore
from app.stores.keys import DAY_MS, build_user_keys
from app.stores.records import HAS_EVENT_ID, RECORD, NewEvent, encode
from app.stores.redis.client import RedisClient
from service_tests.app.stores.servers import call_each_primary, read_statistic

pytestmark = pytest.mark.anyio


def events_of(user: str, count: int, *, ids: bool = False) -> list[NewEvent]:
    return [NewEvent(user, f"item{number}", number, f"e{number}" if ids else None) for number in range(count)]


async def test_an_unknown_user_has_an_empty_history_at_version_0(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    user = new_user()
    recent, read = await store.read_recent(user), await store.read_history(user)
    assert (recent.version, recent.item_keys.tolist()) == (0, [])
    assert (read.version, read.events) == (0, [])
    assert await store.erase(user) == 0


async def test_results_come_in_the_order_given_whatever_the_users_and_times(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    one, other = new_user(), new_user()
    results = await store.append(
        [NewEvent(one, "b", 2), NewEvent(other, "x", 9), NewEvent(one, "a", 1), NewEvent(one, "b", 2)]
    )
    assert [(result.status, result.history_version) for result in results] == [
        ("stored", 2),
        ("stored", 1),
        ("stored", 1),
        ("duplicate", 2),
    ]


async def test_appending_together_equals_appending_one_by_one(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    store = HistoryStore(redis_client, max_events=100)
    together, single = new_user(), new_user()
    results = await store.append(events_of(together, 450, ids=True))
    assert results == [result for event in events_of(single, 450, ids=True) for result in await store.append([event])]
    assert await store.read_history(together) == await store.read_history(single)
    keys, other_keys = build_user_keys(together), build_user_keys(single)
    assert await redis_client.get(keys.seen) == await redis_client.get(other_keys.seen)


async def test_a_trimmed_event_has_no_effect_when_sent_again(store: HistoryStore, new_user: Callable[[], str]) -> None:
    user = new_user()
    await store.append(events_of(user, 20, ids=True))
    before = await store.read_history(user)
    again = await store.append([NewEvent(user, "item3", 3, "e3"), NewEvent(user, "item3", 999, "e3")])
    without_id = await store.append([NewEvent(user, "item3", 3)])
    assert [result.status for result in again + without_id] == ["duplicate", "duplicate", "late"]
    assert await store.read_history(user) == before


async def test_a_lower_limit_trims_at_the_next_event_and_a_higher_one_brings_nothing_back(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await HistoryStore(redis_client, max_events=10).append(events_of(user, 10))
    lower = HistoryStore(redis_client, max_events=3)
    await lower.append([NewEvent(user, "new", 50)])
    await lower.append([NewEvent(user, "newer", 51)])
    higher = HistoryStore(redis_client, max_events=8)
    expected = ["item9", "new", "newer"]
    assert [event.item_id for event in (await higher.read_history(user)).events] == expected
    assert (await higher.read_recent(user)).item_keys.tolist() == item_keys(expected).tolist()


async def test_lifetimes_are_set_and_renewed_and_zero_means_none(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    keys = build_user_keys(user)
    store = HistoryStore(redis_client, max_events=3, lifetime_days=2, event_id_lifetime_days=1)
    for event in events_of(user, 8, ids=True):
        await store.append([event])
        for key in (keys.items, keys.events):
            assert 2 * DAY_MS - 10_000 < await redis_client.pttl(key) <= 2 * DAY_MS
    assert DAY_MS - 10_000 < await redis_client.pttl(keys.seen) <= DAY_MS
    await HistoryStore(redis_client, max_events=3, lifetime_days=0).append([NewEvent(user, "x", 99)])
    assert await redis_client.pttl(keys.items) == await redis_client.pttl(keys.events) == -1


async def test_erasing_counts_and_removes_every_key_of_that_user_only(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user, neighbour = new_user(), new_user()
    await store.append(events_of(user, 8, ids=True) + events_of(neighbour, 2))
    assert await store.erase(user) == 3
    assert await redis_client.exists(*build_user_keys(user)) == 0
    assert len((await store.read_history(neighbour)).events) == 2


async def test_concurrent_reads_share_few_round_trips(
    redis_client: RedisClient, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    users = [new_user() for _ in range(300)]
    await store.append([NewEvent(user, f"item-of-{user}", 1) for user in users])
    before = await read_statistic(redis_client, "total_reads_processed")
    histories = await asyncio.gather(*(store.read_recent(user) for user in users))
    after = await read_statistic(redis_client, "total_reads_processed")
    assert [h.item_keys.tolist() for h in histories] == [item_keys([f"item-of-{user}"]).tolist() for user in users]
    assert after - before <= 60, "a few from each server, and what replicas and nodes tell each other meanwhile"


async def test_every_user_is_listed_once_by_the_id_it_came_with(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    users = {new_user() + odd for odd in ("", "}", "{}", "%7D", "é ⏭", ":events", "*?[a]\\")}
    await store.append([NewEvent(user, "a", 1) for user in users])
    listed = [user async for user in store.iter_users()]
    assert len(listed) == len(set(listed))
    assert users <= set(listed)
    for user in users:
        assert (await store.read_recent(user)).version == 1


async def test_scripts_come_back_after_the_server_forgot_them(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    await call_each_primary(redis_client, "SCRIPT FLUSH")
    results = await store.append([NewEvent(new_user(), "a", 1) for _ in range(5)])
    assert [result.status for result in results] == ["stored"] * 5


async def test_one_impossible_event_is_refused_before_anything_is_written(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    user = new_user()
    with pytest.raises(InvalidRequest):
        await store.append([NewEvent(user, "a", 1), NewEvent(user, "\ud800", 2)])
    with pytest.raises(InvalidRequest):
        await store.read_recent("\ud800")
    assert (await store.read_history(user)).version == 0


async def test_input_that_does_not_fit_changes_nothing(store: HistoryStore, new_user: Callable[[], str]) -> None:
    user = new_user()
    await store.append(events_of(user, 2))
    before = await store.read_values(user)
    early, late = encode(NewEvent(user, "a", 10)), encode(NewEvent(user, "b", 20))
    one = encode_entry("a", 10)
    for entries, records in (
        (one, early + late),
        (one * 2, late + early),
        (one, early[:-1]),
        (one * 2, early),
        (one, b""),
        (one[:8], early),
    ):
        with pytest.raises(StoreUnavailable):
            await store.append_records([(user, entries, records)])
        assert await store.read_values(user) == before


async def test_losing_one_of_the_two_values_begins_anew_and_never_goes_back_a_version(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await store.append(events_of(user, 4))
    await redis_client.delete(build_user_keys(user).events)
    assert (await store.append([NewEvent(user, "x", 1)]))[0].history_version == 5
    assert (await store.read_recent(user)).item_keys.tolist() == item_keys(["x"]).tolist()
    assert [event.item_id for event in (await store.read_history(user)).events] == ["x"]


async def test_a_value_of_another_layout_is_read_as_nothing_and_begins_anew_at_the_next_event(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await store.append(events_of(user, 3))
    bare_keys = struct.pack("<QQ", 3, 0) + item_keys(["item0", "item1", "item2"]).tobytes()
    await redis_client.set(build_user_keys(user).items, bare_keys)
    recent = await store.read_recent(user)
    assert (recent.version, recent.item_keys.tolist()) == (3, [])
    assert len((await store.read_history(user)).events) == 3, "a dump still finds them"
    assert (await store.append([NewEvent(user, "x", 9_000)]))[0].history_version == 4
    recent = await store.read_recent(user)
    assert (recent.item_keys.tolist(), recent.times.tolist()) == (item_keys(["x"]).tolist(), [9])


async def test_memory_is_reported_in_bytes(store: HistoryStore) -> None:
    assert await store.memory_bytes() > 100_000
    await store.ping()


async def test_events_of_the_very_time_of_a_trimmed_one_are_late(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    store, user = HistoryStore(redis_client, max_events=2), new_user()
    results = [(await store.append([NewEvent(user, item, 5)]))[0].status for item in "abcd"]
    assert results == ["stored", "stored", "stored", "late"]
    assert [event.item_id for event in (await store.read_history(user)).events] == ["b", "c"]


async def test_bytes_that_only_look_like_an_identity_are_no_duplicate(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    """Identities are searched as plain bytes; a hit across two of them, or inside an item id, must not count."""
    store, user = HistoryStore(redis_client, max_events=2), new_user()

    async def append(time: int, identity: bytes, item: bytes) -> str:
        record = RECORD.pack(time, identity, HAS_EVENT_ID, len(item)) + item
        ((applied,),) = await store.append_records([(user, b"e" * ENTRY_BYTES, record)])
        return applied.status

    for time, identity in enumerate((b"abcdefgh", b"ijklmnop", b"12345678", b"87654321")):
        assert await append(time, identity, b"itemITEM") == "stored"
    assert await append(10, b"itemITEM", b"x") == "stored"  # stands in a retained event, as text
    assert await append(11, b"efghijkl", b"x") == "stored"  # stands across two trimmed identities
    assert await append(12, b"ijklmnop", b"x") == "duplicate"
    assert await append(13, b"efghijkl", b"x") == "duplicate"
