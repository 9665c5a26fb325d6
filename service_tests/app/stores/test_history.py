"""The history store on a real Redis: lifetimes, limits, batched reads, listing, scripts."""

import asyncio
import struct
from collections.abc import Callable
from typing import cast

import pytest

from app.errors import StoreUnavailable
from app.stores.appends import AppendCall
from app.stores.errors import InvalidEvent, InvalidId
from app.stores.history import HistoryStore
from app.stores.keys import DAY_MS, build_user_keys
from app.stores.records import HAS_EVENT_ID, RECORD, NewEvent
from app.stores.redis.client import RedisClient
from app.stores.results import decode_history
from app.stores.snapshot import SHORT_ID_BYTES
from models.catalogue.item_key import item_key, item_keys
from service_tests.app.stores.servers import call_each_primary, read_statistic

pytestmark = pytest.mark.anyio


def make_events(user: str, count: int, *, ids: bool = False) -> list[NewEvent]:
    return [NewEvent(user, f"item{number}", number, f"e{number}" if ids else None) for number in range(count)]


async def read_ids(client: RedisClient, user: str) -> bytes:
    """Read the identities of a user, without the room for more."""
    keys = build_user_keys(user)
    items, ids = [cast("bytes", await client.get(key)) for key in (keys.items, keys.seen)]
    return ids[: 1 + SHORT_ID_BYTES * decode_history(items).items.ids]


async def test_unknown_user_has_an_empty_history_at_version_0(store: HistoryStore, new_user: Callable[[], str]) -> None:
    user = new_user()
    recent, history = await store.read_recent(user), await store.read_history(user)
    assert (recent.version, recent.item_keys.tolist()) == (0, [])
    assert (history.version, history.events) == (0, [])
    assert await store.erase(user) == 0


async def test_append_returns_results_in_the_order_of_the_events(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    user, second_user = new_user(), new_user()
    results = await store.append(
        [NewEvent(user, "b", 2), NewEvent(second_user, "x", 9), NewEvent(user, "a", 1), NewEvent(user, "b", 2)]
    )
    assert [(result.status, result.history_version) for result in results] == [
        ("stored", 2),
        ("stored", 1),
        ("stored", 1),
        ("duplicate", 2),
    ]


async def test_appending_a_batch_equals_appending_event_by_event(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    store = HistoryStore(redis_client, max_events=100)
    user, reference = new_user(), new_user()
    results = await store.append(make_events(user, 450, ids=True))
    assert results == [
        result for event in make_events(reference, 450, ids=True) for result in await store.append([event])
    ]
    assert await store.read_history(user) == await store.read_history(reference)
    assert await read_ids(redis_client, user) == await read_ids(redis_client, reference)


async def test_trimmed_event_has_no_effect_when_it_is_repeated(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await store.append(make_events(user, 20, ids=True))
    before = await store.read_history(user)
    repeated = await store.append([NewEvent(user, "item3", 3, "e3"), NewEvent(user, "item3", 999, "e3")])
    without_id = await store.append([NewEvent(user, "item3", 3)])
    assert [result.status for result in repeated + without_id] == ["duplicate", "duplicate", "late"]
    assert await store.read_history(user) == before


async def test_lower_limit_trims_at_the_next_event_and_a_higher_one_restores_nothing(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await HistoryStore(redis_client, max_events=10).append(make_events(user, 10))
    lower = HistoryStore(redis_client, max_events=3)
    await lower.append([NewEvent(user, "new", 50)])
    await lower.append([NewEvent(user, "newer", 51)])
    higher = HistoryStore(redis_client, max_events=8)
    expected = ["item9", "new", "newer"]
    assert [event.item_id for event in (await higher.read_history(user)).events] == expected
    assert (await higher.read_recent(user)).item_keys.tolist() == item_keys(expected).tolist()


async def test_lifetimes_are_set_and_renewed_and_zero_disables_them(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    keys = build_user_keys(user)
    store = HistoryStore(redis_client, max_events=3, lifetime_days=2, event_id_lifetime_days=1)
    for event in make_events(user, 8, ids=True):
        await store.append([event])
        assert 2 * DAY_MS - 10_000 < await redis_client.pttl(keys.items) <= 2 * DAY_MS
        assert DAY_MS - 10_000 < await redis_client.pttl(keys.seen) <= DAY_MS
    await HistoryStore(redis_client, max_events=3, lifetime_days=0).append([NewEvent(user, "x", 99)])
    assert await redis_client.pttl(keys.items) == -1


@pytest.mark.parametrize("timestamp_ms", [99, -99])
async def test_lifetime_is_renewed_when_more_than_a_hundredth_has_passed(
    timestamp_ms: int, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    keys = build_user_keys(user)
    store = HistoryStore(redis_client, lifetime_days=10, event_id_lifetime_days=5)
    await store.append([NewEvent(user, "a", 1, "e1")])
    for passed, is_renewed in ((0.005, False), (0.02, True)):
        shortened = [round((1 - passed) * days * DAY_MS) for days in (10, 5)]
        for key, lifetime in zip((keys.items, keys.seen), shortened, strict=True):
            await redis_client.pexpire(key, lifetime)
        await store.append([NewEvent(user, "b", timestamp_ms, f"{passed}")])
        for key, lifetime in zip((keys.items, keys.seen), shortened, strict=True):
            assert (await redis_client.pttl(key) > lifetime) == is_renewed


async def test_event_without_an_id_does_not_renew_the_identities(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    store = HistoryStore(redis_client, event_id_lifetime_days=5)
    await store.append([NewEvent(user, "a", 5, "e1")])
    await redis_client.pexpire(build_user_keys(user).seen, DAY_MS)
    await store.append([NewEvent(user, "b", 6)])
    await store.append([NewEvent(user, "b", 4)])
    assert await redis_client.pttl(build_user_keys(user).seen) <= DAY_MS


async def test_event_whose_identity_expired_is_identified_by_item_and_time(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    store = HistoryStore(redis_client)
    await store.append([NewEvent(user, "a", 5, "e1"), NewEvent(user, "b", 6)])
    assert (await store.append([NewEvent(user, "a", 5)]))[0].status == "stored", "another event while the id is known"
    await redis_client.delete(build_user_keys(user).seen)
    repeated = [NewEvent(user, "a", 5, "e2"), NewEvent(user, "b", 6, "e3"), NewEvent(user, "a", 7, "e1")]
    assert [result.status for result in await store.append(repeated)] == ["duplicate", "duplicate", "stored"]
    assert [result.status for result in await store.append([NewEvent(user, "c", 9, "e1")])] == ["duplicate"]


async def test_erase_counts_and_removes_every_key_of_only_that_user(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user, second_user = new_user(), new_user()
    await store.append(make_events(user, 8, ids=True) + make_events(second_user, 2))
    assert await store.erase(user) == 2
    assert await redis_client.exists(*build_user_keys(user)) == 0
    assert len((await store.read_history(second_user)).events) == 2


async def test_concurrent_reads_share_few_round_trips(
    redis_client: RedisClient, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    users = [new_user() for _ in range(300)]
    await store.append([NewEvent(user, f"item-of-{user}", 1) for user in users])
    before = await read_statistic(redis_client, "total_reads_processed")
    histories = await asyncio.gather(*(store.read_recent(user) for user in users))
    after = await read_statistic(redis_client, "total_reads_processed")
    assert [h.item_keys.tolist() for h in histories] == [item_keys([f"item-of-{user}"]).tolist() for user in users]
    assert after - before <= 60, "a few from each server, plus replication and gossip"


async def test_iter_users_yields_every_user_once_with_its_original_id(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    users = {new_user() + suffix for suffix in ("", "}", "{}", "%7D", "é ⏭", ":events", "*?[a]\\")}
    await store.append([NewEvent(user, "a", 1) for user in users])
    listed = [user async for user in store.iter_users()]
    assert len(listed) == len(set(listed))
    assert users <= set(listed)
    for user in users:
        assert (await store.read_recent(user)).version == 1


async def test_scripts_are_reloaded_after_script_flush(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    await call_each_primary(redis_client, "SCRIPT FLUSH")
    results = await store.append([NewEvent(new_user(), "a", 1) for _ in range(5)])
    assert [result.status for result in results] == ["stored"] * 5


async def test_invalid_event_and_invalid_user_id_are_rejected_before_any_write(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    user = new_user()
    with pytest.raises(InvalidEvent):
        await store.append([NewEvent(user, "a", 1), NewEvent(user, "\ud800", 2)])
    with pytest.raises(InvalidId):
        await store.append([NewEvent(user, "a", 1), NewEvent("\ud800", "a", 1)])
    with pytest.raises(InvalidId):
        await store.read_recent("\ud800")
    assert (await store.read_history(user)).version == 0


async def test_records_and_keys_that_do_not_match_change_nothing(
    store: HistoryStore, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await store.append(make_events(user, 2))
    before = await store.read_snapshot(user)
    early, late = NewEvent(user, "a", 10).record, NewEvent(user, "b", 20).record
    key = item_key("a")
    for keys, records in (
        (key, early + late),
        (key * 2, late + early),
        (key, early[:-1]),
        (key * 2, early),
        (key, b""),
        (key[:7], early),
    ):
        with pytest.raises(StoreUnavailable):
            await store.append_calls([AppendCall(user, keys, records)])
        assert await store.read_snapshot(user) == before


async def test_loss_of_the_history_alone_keeps_identities(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await store.append(make_events(user, 4, ids=True))
    await redis_client.delete(build_user_keys(user).items)
    results = await store.append([NewEvent(user, "x", 1, "e2"), NewEvent(user, "x", 1)])
    assert [(result.status, result.history_version) for result in results] == [("duplicate", 0), ("stored", 1)]
    assert (await store.read_recent(user)).item_keys.tolist() == item_keys(["x"]).tolist()
    assert (await store.append([NewEvent(user, "x", 2, "e3")]))[0].status == "duplicate"


async def test_value_of_another_layout_is_read_as_empty_and_replaced_by_the_next_event(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    bare_keys = struct.pack("<QQ", 3, 0) + item_keys(["item0", "item1", "item2"]).tobytes()
    await redis_client.set(build_user_keys(user).items, bare_keys)
    recent = await store.read_recent(user)
    assert (recent.version, recent.item_keys.tolist()) == (3, [])
    assert (await store.append([NewEvent(user, "x", 9_000)]))[0].history_version == 4
    recent = await store.read_recent(user)
    assert (recent.item_keys.tolist(), recent.times.tolist()) == (item_keys(["x"]).tolist(), [9])


async def test_memory_is_reported_in_bytes(store: HistoryStore) -> None:
    assert (await store.read_usage()).memory_bytes > 100_000
    await store.ping()


async def test_event_at_the_time_of_a_trimmed_one_is_late(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    store, user = HistoryStore(redis_client, max_events=2), new_user()
    results = [(await store.append([NewEvent(user, item, 5)]))[0].status for item in "abcd"]
    assert results == ["stored", "stored", "stored", "late"]
    assert [event.item_id for event in (await store.read_history(user)).events] == ["b", "c"]


async def test_bytes_that_only_look_like_an_identity_do_not_make_a_duplicate(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    """Identities are searched as plain bytes: a match across two of them must not count."""
    store, user = HistoryStore(redis_client, max_events=2), new_user()

    async def append(time: int, identity: bytes) -> str:
        record = RECORD.pack(time, identity, HAS_EVENT_ID, 1) + b"i"
        ((result,),) = await store.append_calls([AppendCall(user, b"itemITEM", record)])
        return result.status

    for time, identity in enumerate((b"abcdeXXX", b"fghijXXX", b"12345XXX", b"67890XXX")):
        assert await append(time, identity) == "stored"
    assert await append(11, b"cdefgXXX") == "stored"  # spans two trimmed identities
    assert await append(12, b"45678XXX") == "stored"  # spans two retained ones
    for identity in (b"fghijXXX", b"67890XXX", b"cdefgXXX", b"abcdeYYY"):
        assert await append(13, identity) == "duplicate"


async def test_values_grow_in_small_steps(redis_client: RedisClient, new_user: Callable[[], str]) -> None:
    """Redis would double a string that is appended to."""
    store, user = HistoryStore(redis_client, max_events=250), new_user()
    keys = build_user_keys(user)
    for event in make_events(user, 400, ids=True):
        await store.append([event])
        count = min(event.timestamp_ms + 1, 250)
        assert await redis_client.strlen(keys.items) <= 46 + 12 * (1.3 * count + 6)
        assert await redis_client.strlen(keys.seen) <= 1 + 5 * (1.3 * (event.timestamp_ms + 1) + 6)
        memory_bytes = await redis_client.memory_usage(keys.items)
        assert memory_bytes is not None
        assert memory_bytes <= 1.1 * await redis_client.strlen(keys.items) + 120
