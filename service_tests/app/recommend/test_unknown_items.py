"""Ids of unknown items are looked up once and cached in bounded number."""

import asyncio

import pytest

from app.recommend.unknown_items import UnknownItemResolver
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from models.catalogue.item_key import item_keys

pytestmark = pytest.mark.anyio


def get_deadline() -> float:
    return asyncio.get_running_loop().time() + 5


async def store_events(store: HistoryStore, user_id: str, *item_ids: str) -> None:
    await store.append([NewEvent(user_id, item_id, time) for time, item_id in enumerate(item_ids)])


async def test_ids_are_unique_and_in_the_requested_order(store: HistoryStore) -> None:
    await store_events(store, "u", "a", "x", "b", "y", "x")
    resolver = UnknownItemResolver(store)
    assert await resolver.resolve("u", item_keys(["y", "x", "y"]), get_deadline()) == ["y", "x"]


async def test_id_is_cached_across_users_and_after_erasure(store: HistoryStore) -> None:
    await store_events(store, "u", "a", "x")
    resolver = UnknownItemResolver(store)
    assert await resolver.resolve("u", item_keys(["x"]), get_deadline()) == ["x"]
    await store.erase("u")
    assert await resolver.resolve("v", item_keys(["x"]), get_deadline()) == ["x"]


async def test_id_that_redis_does_not_have_is_omitted(store: HistoryStore) -> None:
    await store_events(store, "u", "x")
    resolver = UnknownItemResolver(store)
    assert await resolver.resolve("u", item_keys(["missing", "x"]), get_deadline()) == ["x"]


async def test_expired_deadline_returns_cached_ids_only(store: HistoryStore) -> None:
    await store_events(store, "u", "x")
    await store_events(store, "v", "x", "y")
    resolver = UnknownItemResolver(store)
    await resolver.resolve("u", item_keys(["x"]), get_deadline())
    assert await resolver.resolve("v", item_keys(["x", "y"]), 0.0) == ["x"]


async def test_oldest_ids_are_evicted_first(store: HistoryStore) -> None:
    resolver = UnknownItemResolver(store, cache_size=3)
    for number in range(5):
        await store_events(store, f"u{number}", f"x{number}")
        await resolver.resolve(f"u{number}", item_keys([f"x{number}"]), get_deadline())
    everything = item_keys([f"x{number}" for number in range(5)])
    assert await resolver.resolve("w", everything, 0.0) == ["x2", "x3", "x4"]
    assert await resolver.resolve("w", everything, get_deadline()) == ["x0", "x1", "x2", "x3", "x4"]
