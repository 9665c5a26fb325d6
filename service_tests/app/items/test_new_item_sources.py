"""Events that arrive without a serving version, as of `nextup consume` and `nextup load`, place new items, too."""

import asyncio
from collections.abc import AsyncIterator, Callable

import numpy as np
import polars as pl
import pytest

from app.cli.load_histories import load_events
from app.events.service import EventService
from app.history_types import HistoryTypes
from app.settings import Settings
from app.stores.cooccurrences import MAX_ITEMS, CooccurrenceStore
from app.stores.history import HistoryStore
from app.stores.keys import NEW_ITEMS_KEY
from app.stores.live_items import LiveItemStore
from app.stores.redis.client import RedisClient
from models.catalogue.item_key import item_keys
from service_tests.support.service import Service, wait_until

pytestmark = pytest.mark.anyio
HISTORY = ("i20", "i21", "i22", "plain")
WEIGHT_OF_ONE_EVENT = 1 + 1 / 2 + 1 / 3


@pytest.fixture
async def items(redis_client: RedisClient) -> AsyncIterator[LiveItemStore]:
    store = LiveItemStore(redis_client, wait_s=30, max_items=1000)
    yield store
    await store.close()


async def announce(service: Service, store: CooccurrenceStore) -> None:
    """List an item that the model does not know, and wait until the service has announced it."""
    response = await service.http.put("/items", json={"items": [{"item_id": "plain"}, {"item_id": "i1"}]})
    assert response.status_code == 200
    async with asyncio.timeout(60):
        while (await store.read_new_items()).tolist() != item_keys(["plain"]).tolist():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def wait_until_placed(service: Service, num_events: int) -> None:
    cooccurrences = service.model.engine.servable.live.live.cooccurrences
    key = int(item_keys(["plain"])[0])

    def has_all_weights() -> bool:
        pairs = cooccurrences.find(key)
        return pairs is not None and float(pairs[1].sum()) == pytest.approx(num_events * WEIGHT_OF_ONE_EVENT)

    await wait_until(has_all_weights, 60)
    async with asyncio.timeout(60):
        while (await service.recommend(history=["i21"], k=5, candidates=["plain"]))["items"] == []:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert len(cooccurrences) == 1, "items that the model knows do not count"


async def test_consumed_events_place_a_new_item(
    service: Service, items: LiveItemStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    await announce(service, items.cooccurrences)
    store = HistoryStore(redis_client)
    events = EventService(store, None, HistoryTypes(), items=items)
    raw = [
        {"user_id": user, "item_id": item_id, "timestamp": 1_700_000_000 + position}
        for user in [new_user() for _ in range(3)]
        for position, item_id in enumerate((*HISTORY, "i1"))
    ]
    for _ in range(2):
        await events.ingest_each(raw)
    await wait_until_placed(service, 3)
    await store.close()


async def test_loaded_events_place_a_new_item(
    service: Service, items: LiveItemStore, settings: Settings, new_user: Callable[[], str]
) -> None:
    await announce(service, items.cooccurrences)
    num_users = 120
    rows = [
        (user, item_id, 1_700_000_000_000 + position)
        for user in [new_user() for _ in range(num_users)]
        for position, item_id in enumerate(HISTORY)
    ]
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    assert settings.redis_url is not None
    for _ in range(2):
        await load_events(settings.redis_url.get_secret_value(), settings, log)
    await wait_until_placed(service, num_users)


async def test_lost_announcement_is_repeated(
    service: Service, items: LiveItemStore, redis_client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await announce(service, items.cooccurrences)
    await redis_client.delete(NEW_ITEMS_KEY)  # as after the restore of an older snapshot
    monkeypatch.setattr("app.events.new_item_sources.REPEAT_INTERVAL_S", 0.0)
    async with asyncio.timeout(30):
        while not len(await items.cooccurrences.read_new_items()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_announced_items_are_bounded_and_a_damaged_value_harms_nothing(
    items: LiveItemStore, redis_client: RedisClient
) -> None:
    store = items.cooccurrences
    assert len(await store.read_new_items()) == 0
    await store.put_new_items(np.arange(MAX_ITEMS + 5, dtype=np.uint64))
    assert (await store.read_new_items()).tolist() == list(range(MAX_ITEMS))
    await redis_client.set(NEW_ITEMS_KEY, b"damaged value")
    assert len(await store.read_new_items()) == 1
    await redis_client.delete(NEW_ITEMS_KEY)
