"""Ids of items: from the catalogue, else from an index of bounded size that processes share."""

from collections.abc import Callable

import numpy as np
import pytest

from app.stores.history import HistoryStore
from app.stores.item_names import MAX_NAMES_PER_BUCKET
from app.stores.keys import NAME_BUCKETS, build_names_key
from app.stores.records import NewEvent
from app.stores.redis.client import RedisClient
from models.catalogue.catalogue import Catalogue
from models.catalogue.item_key import item_keys
from service_tests.app.stores.servers import count_calls

pytestmark = pytest.mark.anyio


def find_ids_of_bucket(bucket: int, count: int) -> list[str]:
    ids = [f"name{number}" for number in range(40_000 + NAME_BUCKETS * count)]
    in_bucket = (item_keys(ids) % NAME_BUCKETS == bucket).nonzero()[0]
    return [ids[position] for position in in_bucket[:count]]


def make_catalogue(*item_ids: str) -> Catalogue:
    return Catalogue(item_ids, np.ones(len(item_ids), dtype=np.int64), [None] * len(item_ids), [()] * len(item_ids))


async def test_items_of_the_catalogue_are_named_without_being_stored(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    store, user = HistoryStore(redis_client), new_user()
    catalogue = make_catalogue(f"known of {user}")
    store.use_catalogue(lambda: catalogue)
    await store.append([NewEvent(user, f"known of {user}", 1), NewEvent(user, f"unknown of {user}", 2)])
    names = [event.item_id for event in (await store.read_history(user)).events]
    assert names == [f"known of {user}", f"unknown of {user}"]
    second_store = HistoryStore(redis_client)
    assert [event.item_id for event in (await second_store.read_history(user)).events] == [None, f"unknown of {user}"]


async def test_id_is_stored_once_per_process(redis_client: RedisClient, new_user: Callable[[], str]) -> None:
    store, user = HistoryStore(redis_client), new_user()
    await store.append([NewEvent(user, f"new of {user}", 1)])
    before = await count_calls(redis_client, "hset")
    await store.append([NewEvent(user, f"new of {user}", number) for number in range(2, 9)])
    assert await count_calls(redis_client, "hset") == before


async def test_bucket_holds_a_bounded_number_of_ids(redis_client: RedisClient, new_user: Callable[[], str]) -> None:
    store, user = HistoryStore(redis_client), new_user()
    ids = find_ids_of_bucket(7, MAX_NAMES_PER_BUCKET + 60)
    await redis_client.delete(build_names_key(7))  # other tests have named items
    await store.append([NewEvent(user, item_id, number) for number, item_id in enumerate(ids)])
    assert await redis_client.hlen(build_names_key(7)) == MAX_NAMES_PER_BUCKET
    names = [event.item_id for event in (await store.read_history(user)).events]
    assert names.count(None) == 60
    assert all(name in (None, item_id) for name, item_id in zip(names, ids, strict=True))
