"""Items before new items in histories, in Redis: weights add up, readers follow, and everything is bounded."""

from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from app.inference.live.cooccurrences import Cooccurrences
from app.stores.cooccurrences import MAX_NEIGHBOURS, CooccurrencePosition, CooccurrenceStore
from app.stores.keys import COOCCURRENCE_KEYS
from app.stores.redis.client import RedisClient
from models.catalogue.item_key import item_key

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(redis_client: RedisClient) -> AsyncIterator[CooccurrenceStore]:
    await redis_client.delete(*COOCCURRENCE_KEYS)
    store = CooccurrenceStore(redis_client, wait_s=30, max_items=3)
    yield store
    await store.close()
    await redis_client.delete(*COOCCURRENCE_KEYS)


def to_int(key: bytes) -> int:
    return int.from_bytes(key, "little")


async def follow(
    store: CooccurrenceStore, items: Cooccurrences, position: CooccurrencePosition
) -> CooccurrencePosition:
    changes = await store.read_changes(position)
    assert changes.is_last
    items.put(changes.neighbours, restarts=changes.restarts)
    return changes.position


def read(items: Cooccurrences, item_id: str) -> list[tuple[int, float]] | None:
    pairs = items.find(to_int(item_key(item_id)))
    return None if pairs is None else list(zip(pairs[0].tolist(), pairs[1].tolist(), strict=True))


async def test_weights_add_up_and_readers_follow(store: CooccurrenceStore) -> None:
    items, expected = Cooccurrences(), defaultdict[bytes, float](float)
    position = await follow(store, items, CooccurrencePosition())
    for number in range(6):
        added = {item_key(f"i{number % 4}"): 1.0, item_key(f"i{number}"): 0.5}
        await store.add({"new": added})
        for key, weight in added.items():
            expected[key] += weight
        position = await follow(store, items, position)
        best = sorted(expected.items(), key=lambda pair: (-pair[1], pair[0]))
        assert read(items, "new") == [(to_int(key), weight) for key, weight in best]
    revision = items.revision
    await follow(store, items, position)
    assert items.revision == revision, "nothing has changed"


async def test_only_the_strongest_neighbours_are_kept(store: CooccurrenceStore) -> None:
    await store.add({"new": {item_key(f"i{number}"): float(number + 1) for number in range(MAX_NEIGHBOURS + 8)}})
    items = Cooccurrences()
    await follow(store, items, CooccurrencePosition())
    pairs = read(items, "new")
    assert pairs is not None
    assert [weight for _, weight in pairs] == [float(MAX_NEIGHBOURS + 8 - rank) for rank in range(MAX_NEIGHBOURS)]


async def test_items_with_the_oldest_events_are_dropped(store: CooccurrenceStore) -> None:
    for item_id in ("a", "b", "c", "a", "d"):
        await store.add({item_id: {item_key("i1"): 1.0}})
    items = Cooccurrences()
    await follow(store, items, CooccurrencePosition())
    assert [read(items, item_id) is not None for item_id in "abcd"] == [True, False, True, True]


async def test_readers_start_again_after_a_flush(store: CooccurrenceStore, redis_client: RedisClient) -> None:
    items = Cooccurrences()
    for item_id in ("a", "b"):
        await store.add({item_id: {item_key("i1"): 1.0}})
    position = await follow(store, items, CooccurrencePosition())
    await redis_client.delete(*COOCCURRENCE_KEYS)
    position = await follow(store, items, position)
    assert read(items, "a") is None
    await store.add({"c": {item_key("i2"): 2.0}})
    await follow(store, items, position)
    assert read(items, "c") == [(to_int(item_key("i2")), 2.0)]
