"""The live catalogue in Redis: once-only effect, concurrent patches, and changes that no reader misses."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.stores import live_items
from app.stores.item_records import ItemRecord, encode_record
from app.stores.keys import LIVE_ITEM_KEYS
from app.stores.live_items import CataloguePosition, LiveItemStore
from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis

pytestmark = pytest.mark.anyio
RECORD = ItemRecord(title="A lantern", categories=("drama",), attributes={"price": 7.5, "tags": ["new"]})


@pytest.fixture
async def live_store(redis_client: RedisClient) -> AsyncIterator[LiveItemStore]:
    await redis_client.delete(*LIVE_ITEM_KEYS)
    store = LiveItemStore(redis_client, wait_s=10.0, max_items=20)
    yield store
    await redis_client.delete(*LIVE_ITEM_KEYS)
    await store.close()


async def read_all(store: LiveItemStore, position: CataloguePosition, limit: int) -> tuple[dict[str, Any], Any]:
    records: dict[str, Any] = {}
    while True:
        changes = await store.read_changes(position, limit)
        records = changes.records if changes.restarts else records | changes.records
        position = changes.position
        if changes.is_last:
            return records, position


async def test_same_record_changes_nothing(live_store: LiveItemStore) -> None:
    assert await live_store.put([("a", RECORD), ("b", ItemRecord()), ("a", RECORD)]) == [
        "created",
        "created",
        "unchanged",
    ]
    _, position = await read_all(live_store, CataloguePosition(), 10)
    assert await live_store.put([("a", RECORD)]) == ["unchanged"]
    assert await live_store.put([("a", ItemRecord(title="B"))]) == ["updated"]
    assert await live_store.remove(["a", "x"]) == ["removed", "absent"]
    records, end = await read_all(live_store, position, 10)
    assert (records, end.version) == ({"a": None}, position.version + 2)
    assert await live_store.read(["b", "a"]) == [ItemRecord(), None]


async def test_full_catalogue_refuses_new_items_only(live_store: LiveItemStore) -> None:
    assert set(await live_store.put([(f"i{index}", RECORD) for index in range(20)])) == {"created"}
    assert await live_store.put([("new", RECORD), ("i3", ItemRecord())]) == ["full", "updated"]
    assert await live_store.edit([("new", lambda _: RECORD), ("i4", lambda _: ItemRecord())]) == ["full", "updated"]


async def test_concurrent_edits_are_all_applied(live_store: LiveItemStore) -> None:
    def count_up(record: ItemRecord | None) -> ItemRecord:
        record = record or ItemRecord()
        number = record.attributes.get("number", 0)
        assert isinstance(number, int)
        return ItemRecord(attributes={"number": number + 1})

    outcomes = await asyncio.gather(*(live_store.edit([("a", count_up), ("a", count_up)]) for _ in range(4)))
    (record,) = await live_store.read(["a"])
    assert record is not None
    applied = sum(outcome != "conflict" for pair in outcomes for outcome in pair)
    assert record.attributes["number"] == applied >= 2
    assert await live_store.edit([("a", lambda _: None)]) == ["refused"]


async def test_many_writers_of_the_same_records_all_succeed(live_store: LiveItemStore) -> None:
    def add(name: str) -> live_items.Edit:
        return lambda record: ItemRecord(attributes={**(record.attributes if record else {}), name: True})

    names = [f"writer{number}" for number in range(10)]
    edits = [[(item_id, add(name)) for item_id in "abc"] for name in names]
    outcomes = await asyncio.gather(*map(live_store.edit, edits))
    assert "conflict" not in {outcome for results in outcomes for outcome in results}
    assert [set(record.attributes) for record in await live_store.read("abc") if record] == [set(names)] * 3


async def test_new_epoch_and_forgotten_removals_restart_the_reader(
    live_store: LiveItemStore, redis_client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live_store.put([(name, RECORD) for name in "abcdef"])
    _, position = await read_all(live_store, CataloguePosition(), 3)
    monkeypatch.setattr(live_items, "MAX_REMOVED", 1)
    await live_store.remove(["a", "b", "c"])
    changes = await live_store.read_changes(position)
    assert (changes.restarts, set(changes.records)) == (True, {"c", "d", "e", "f"}), "c is remembered as removed"
    await redis_client.delete(*LIVE_ITEM_KEYS)
    assert (await live_store.read_changes(changes.position)).restarts
    await live_store.put([(name, RECORD) for name in "abcdefghijkl"])
    again = await live_store.read_changes(changes.position)
    assert (again.restarts, len(again.records)) == (True, 12)


async def test_reader_in_steps_ends_though_removals_are_forgotten(
    live_store: LiveItemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_items, "MAX_REMOVED", 1)
    await live_store.put([(name, RECORD) for name in "abcdefgh"])
    await live_store.remove(["x", "a", "b"])  # a is forgotten: the floor is above the first versions
    first = await live_store.read_changes(CataloguePosition(), 2)
    assert (first.restarts, first.is_last, set(first.records)) == (True, False, {"c", "d"})
    second = await live_store.read_changes(first.position, 2)
    assert (second.restarts, set(second.records)) == (False, {"e", "f"}), "nothing was missed since the first step"
    await live_store.remove(["c"])  # b is forgotten as well, which this reader has not read
    third = await live_store.read_changes(second.position, 20)
    assert third.restarts, "it could have read b before"
    assert {name for name, record in third.records.items() if record} == set("defgh")
    assert third.is_last


async def test_large_records_come_in_short_replies(live_store: LiveItemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_items, "MAX_WRITES", 3)
    names = [f"i{index}" for index in range(20)]
    large = ItemRecord(title="t" * live_items.MAX_REPLY_BYTES)
    assert await live_store.put([(name, large) for name in names]) == ["created"] * 20
    assert await live_store.edit([(name, lambda _: large) for name in [*names, "new"]]) == ["unchanged"] * 20 + ["full"]
    await live_store.remove(names[:2])
    await live_store.put([("new", RECORD)])
    first = await live_store.read_changes(CataloguePosition(), 1000)
    assert len(first.records) == 20, "one piece"
    assert not first.is_last
    records, end = await read_all(live_store, first.position, 1000)
    assert (records, end.version) == ({"new": RECORD}, 23)


async def test_damaged_record_harms_no_other_item(live_store: LiveItemStore, redis_client: RedisClient) -> None:
    await live_store.put([("a", RECORD), ("b", RECORD)])
    await redis_client.hset(LIVE_ITEM_KEYS[0], "a", b"{")
    records, _ = await read_all(live_store, CataloguePosition(), 10)
    assert records == {"a": None, "b": RECORD}
    assert await live_store.put([("a", RECORD)]) == ["updated"]


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "read"]), st.sampled_from("abcd"), st.booleans()), max_size=30
)


@settings(max_examples=25)
@given(operations=OPERATIONS, limit=st.integers(1, 4))
def test_reader_of_changes_knows_every_record(redis_url: str, operations: list[Any], limit: int) -> None:
    async def run() -> None:
        client = await open_redis(redis_url, timeout_s=10.0)
        await client.delete(*LIVE_ITEM_KEYS)
        store = LiveItemStore(client, wait_s=10.0, max_items=20)
        expected: dict[str, ItemRecord] = {}
        known: dict[str, ItemRecord | None] = {}
        position = CataloguePosition()
        for kind, name, available in [*operations, ("read", "a", True)]:
            record = ItemRecord(title="A", available=available)
            if kind == "put":
                await store.put([(name, record)])
                expected[name] = record
            elif kind == "remove":
                await store.remove([name])
                expected.pop(name, None)
            else:
                records, position = await read_all(store, position, limit)
                known |= records
                assert {key: value for key, value in known.items() if value is not None} == expected
        await store.close()
        await close_redis(client)

    asyncio.run(run())


def test_equal_records_have_equal_bytes() -> None:
    first = ItemRecord(attributes={"a": 1, "b": 2})
    second = ItemRecord(attributes={"b": 2, "a": 1})
    assert encode_record(first) == encode_record(second)
