"""`filter` of /recommend, /recommend/batch and /similar: in every source of answers, for both placements."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.stores.keys import LIVE_ITEM_KEYS
from app.stores.redis.client import RedisClient
from service_tests.support.model_placements import model_process as model_process
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
CHEAP = {"attribute": "price", "lt": 10}
PRICED = {f"i{number}" for number in range(1, 31)}
CHEAP_ITEMS = {f"i{number}" for number in range(1, 10)}


@pytest.fixture
async def shop(service: Service, redis_client: RedisClient) -> AsyncIterator[Service]:
    """Items i1 to i30 have a price, the number in their id, and every third one the tag new."""
    items = [
        {"item_id": f"i{number}", "attributes": {"price": number, "tags": ["new"] if number % 3 == 0 else []}}
        for number in range(1, 31)
    ]
    response = await service.http.put("/items", json={"items": items})
    assert response.json()["created"] == 30
    async with asyncio.timeout(10):  # a dedicated model process follows within a second
        while set(await list_items(service, history=["i50"], k=60, filter=CHEAP)) != CHEAP_ITEMS:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    yield service
    await redis_client.delete(*LIVE_ITEM_KEYS)


async def list_items(service: Service, path: str = "/recommend", **body: Any) -> list[str]:
    response = await service.http.post(path, json=body)
    assert response.status_code == 200, response.text
    return [item["item_id"] for item in response.json()["items"]]


async def test_answer_is_the_unfiltered_order_without_the_others(shop: Service) -> None:
    every = await list_items(shop, history=["i50"], k=60)
    for k in (1, 3, 9, 20):
        expected = [item_id for item_id in every if item_id in CHEAP_ITEMS][:k]
        assert await list_items(shop, history=["i50"], k=k, filter=CHEAP) == expected
    both = {"all": [CHEAP, {"attribute": "tags", "contains_any": ["new"]}]}
    assert set(await list_items(shop, history=["i50"], k=60, filter=both)) == {"i3", "i6", "i9"}
    others = {"not": {"attribute": "price", "exists": True}}
    assert set(await list_items(shop, history=["i50"], k=60, filter=others)) == set(every) - PRICED
    even = {"attribute": "categories", "contains_any": ["even"]}
    assert set(await list_items(shop, history=["i50"], k=60, filter={"all": [CHEAP, even]})) == {"i2", "i4", "i6", "i8"}


async def test_every_source_filters(shop: Service) -> None:
    assert set(await list_items(shop, user_id="nobody", k=60, filter=CHEAP)) == CHEAP_ITEMS
    assert set(await list_items(shop, "/similar", item_id="i50", k=60, filter=CHEAP)) == CHEAP_ITEMS
    body = {"requests": [{"history": ["i50"], "k": 60, "filter": CHEAP}, {"history": ["i50"], "filter": {"most": 1}}]}
    first, second = (await shop.http.post("/recommend/batch", json=body)).json()["responses"]
    assert {item["item_id"] for item in first["items"]} == CHEAP_ITEMS
    assert (second["status"], second["detail"].split(":")[0]) == (422, "filter.most")
    empty = await shop.recommend(history=["i50"], filter={"attribute": "price", "gt": 1000})
    assert (empty["items"], empty["reason"]) == ([], "no_eligible_items")


async def test_filtered_answer_is_not_that_of_other_requests(shop: Service) -> None:
    await shop.post_events("filtered", "i50")
    assert set(await list_items(shop, user_id="filtered", k=60, filter=CHEAP)) == CHEAP_ITEMS
    with shop.model.engine.block_thread():
        shop.model.engine.swap(shop.model.engine.servable)
    assert len(await list_items(shop, user_id="filtered", k=59)) == 59


async def test_pages_keep_their_filter(shop: Service) -> None:
    first = await shop.recommend(history=["i50"], k=4, filter=CHEAP, paginate=True)
    pages = [first]
    while pages[-1]["next_cursor"] is not None:
        cursor = pages[-1]["next_cursor"]
        pages.append(await shop.recommend(history=["i50"], filter=CHEAP, cursor=cursor))
    shown = [item["item_id"] for page in pages for item in page["items"]]
    assert (set(shown), len(shown)) == (CHEAP_ITEMS, 9)
    other = {"history": ["i50"], "cursor": first["next_cursor"], "filter": {"attribute": "price", "lt": 11}}
    rejected = await shop.http.post("/recommend", json=other)
    assert (rejected.status_code, rejected.json()["errors"][0]["field"]) == (422, "filter")


@pytest.mark.parametrize("path", ["/recommend", "/similar"])
async def test_wrong_filter_is_named(shop: Service, path: str) -> None:
    base: dict[str, Any] = {"item_id": "i50"} if path == "/similar" else {"history": ["i50"]}
    for value, field in (
        ({"all": [CHEAP, {"attribute": "price", "lt": "cheap"}]}, "filter.all.1.lt"),
        ({"all": []}, "filter.all"),
        ([CHEAP], "filter"),
        ("cheap", "filter"),
        ({"attribute": "a", "in": ["x" * 200] * 100}, "filter"),
    ):
        response = await shop.http.post(path, json=base | {"filter": value})
        assert response.status_code == 422, response.text
        assert response.json()["errors"][0]["field"] == field
    assert await list_items(shop, path, **base, filter=None, k=1)


async def test_attribute_beyond_the_bound_is_named(shop: Service) -> None:
    names = [f"a{number:03}" for number in range(90)]
    for start in range(0, 90, 30):
        attributes = dict.fromkeys(names[start : start + 30], 1)
        await shop.http.put("/items", json={"items": [{"item_id": f"i{start + 1}", "attributes": attributes}]})
    statuses = []
    for name in names:
        body = {"history": ["i50"], "filter": {"not": {"attribute": name, "eq": 1}}}
        response = await shop.http.post("/recommend", json=body)
        statuses.append(response.status_code)
        if response.status_code != 200:
            assert name in response.json()["errors"][0]["detail"]
    assert (statuses[0], statuses.count(200), statuses[-1]) == (200, 62, 422), "price and tags are among the 64"


async def test_change_of_an_item_changes_the_next_answer(shop: Service) -> None:
    change = {"items": [{"item_id": "i40", "attributes": {"price": 1}}]}
    await shop.http.put("/items", json=change)
    expected = CHEAP_ITEMS | {"i40"}
    async with asyncio.timeout(10):
        while set(await list_items(shop, history=["i50"], k=60, filter=CHEAP)) != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
