"""Names of unknown items: looked up once, remembered in bounded number."""

import asyncio

import pytest

from app.item_key import item_keys
from app.recommend.unknown_items import UnknownItemResolver
from app.stores.history import HistoryStore
from app.stores.records import NewEvent

pytestmark = pytest.mark.anyio

KNOWN = ["a", "b", "c"]


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def stored(store: HistoryStore, user_id: str, *item_ids: str) -> None:
    await store.append([NewEvent(user_id, item_id, place) for place, item_id in enumerate(item_ids)])


async def test_names_come_in_the_order_asked_and_each_once(store: HistoryStore) -> None:
    await stored(store, "u", "a", "x", "b", "y", "x")
    unknown = UnknownItemResolver(store, KNOWN.__contains__)
    assert await unknown.resolve("u", item_keys(["y", "x", "y"]), soon()) == ["y", "x"]


async def test_a_name_is_remembered_across_users_and_outlives_the_history(store: HistoryStore) -> None:
    await stored(store, "u", "a", "x")
    unknown = UnknownItemResolver(store, KNOWN.__contains__)
    assert await unknown.resolve("u", item_keys(["x"]), soon()) == ["x"]
    await store.erase("u")
    assert await unknown.resolve("somebody", item_keys(["x"]), soon()) == ["x"]


async def test_a_name_that_redis_does_not_have_is_left_out(store: HistoryStore) -> None:
    await stored(store, "u", "x")
    unknown = UnknownItemResolver(store, KNOWN.__contains__)
    assert await unknown.resolve("u", item_keys(["gone", "x"]), soon()) == ["x"]


async def test_a_deadline_that_passed_gives_the_names_at_hand(store: HistoryStore) -> None:
    await stored(store, "u", "x")
    await stored(store, "v", "x", "y")
    unknown = UnknownItemResolver(store, KNOWN.__contains__)
    await unknown.resolve("u", item_keys(["x"]), soon())
    assert await unknown.resolve("v", item_keys(["x", "y"]), 0.0) == ["x"]


async def test_the_names_learnt_first_are_forgotten_first(store: HistoryStore) -> None:
    unknown = UnknownItemResolver(store, KNOWN.__contains__, cache_size=3)
    for number in range(5):
        await stored(store, f"u{number}", f"x{number}")
        await unknown.resolve(f"u{number}", item_keys([f"x{number}"]), soon())
    everything = item_keys([f"x{number}" for number in range(5)])
    assert await unknown.resolve("nobody", everything, soon()) == ["x2", "x3", "x4"]
