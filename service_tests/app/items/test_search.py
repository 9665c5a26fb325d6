"""GET /items: search by id and title in the catalogue and among new items."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from app.errors import Overloaded
from app.items.list_schemas import ItemList
from app.items.search import MAX_PENDING
from app.stores.keys import LIVE_ITEM_KEYS
from app.stores.redis.client import RedisClient
from service_tests.support.experiments import poll
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def live_catalogue(redis_client: RedisClient) -> AsyncIterator[None]:
    """Leave no record behind, because the tests of a session share a server."""
    yield
    await redis_client.delete(*LIVE_ITEM_KEYS)


async def search(service: Service, query: str, limit: int = 20) -> dict[str, Any]:
    response = await service.http.get("/items", params={"query": query, "limit": limit})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def list_ids(service: Service, query: str, limit: int = 20) -> list[str]:
    return [item["item_id"] for item in (await search(service, query, limit))["items"]]


async def test_exact_id_precedes_prefixes_and_these_precede_other_matches(service: Service) -> None:
    assert await list_ids(service, "I12") == ["i12"]
    assert await list_ids(service, "i1", 4) == ["i1", "i10", "i11", "i12"]
    assert await list_ids(service, "iTEM number 2", 3) == ["i2", "i20", "i21"]
    assert await list_ids(service, "BER 2", 3) == ["i2", "i20", "i21"]
    assert (await search(service, "number 60")) == {
        "items": [{"item_id": "i60", "title": "Item number 60", "categories": ["even"], "available": True}],
        "complete": True,
    }


async def test_search_without_text_lists_the_most_popular_items(service: Service) -> None:
    answer = await search(service, "", 3)
    assert [item["item_id"] for item in answer["items"]] == ["i1", "i2", "i3"]
    assert not answer["complete"]
    assert await search(service, "no such item") == {"items": [], "complete": True}


async def test_live_catalogue_renames_marks_and_adds_items(service: Service) -> None:
    items = [
        {"item_id": "i12", "title": "Lamp", "categories": ["light"], "available": False},
        {"item_id": "brand-new", "title": "Chair", "categories": ["seat"]},
    ]
    await service.http.put("/items", json={"items": items})
    renamed = {"item_id": "i12", "title": "Lamp", "categories": ["light"], "available": False}
    assert (await search(service, "i12"))["items"] == [renamed]
    new = {"item_id": "brand-new", "title": "Chair", "categories": ["seat"], "available": True}
    assert (await search(service, "ND-NE"))["items"] == [new]
    # Titles of the live catalogue are read again after two seconds at the earliest.
    await poll(lambda: list_ids(service, "cHAI"), lambda ids: ids == ["brand-new"])
    assert await list_ids(service, "LAMP") == ["i12"]
    await service.http.delete("/items/brand-new")
    assert await list_ids(service, "brand-new") == []
    assert await list_ids(service, "chair") == []


async def test_started_service_searches_titles_that_were_set_before(
    service: Service, service_with: Callable[..., AbstractAsyncContextManager[Service]]
) -> None:
    await service.http.put("/items", json={"items": [{"item_id": "brand-new", "title": "Chair"}]})
    async with service_with() as later:
        assert await list_ids(later, "chair") == ["brand-new"]


async def test_too_many_searches_are_rejected_and_equal_ones_share_their_work(service: Service) -> None:
    texts = [f"text {number}" for number in range(MAX_PENDING)]
    deadline = asyncio.get_running_loop().time() + 60
    searches = [service.state["item_search"].find(text, 5, deadline) for text in [*texts, *texts, "one more"]]
    *answers, last = await asyncio.gather(*searches, return_exceptions=True)  # all begin before any of them ends
    assert [answer.complete for answer in answers if isinstance(answer, ItemList)] == [True] * 2 * MAX_PENDING
    assert isinstance(last, Overloaded)
    assert (await search(service, "one more"))["complete"]


async def test_titles_of_training_are_returned_without_redis(
    service_with: Callable[..., AbstractAsyncContextManager[Service]],
) -> None:
    async with service_with(redis_url="redis://127.0.0.1:1/0", redis_timeout_ms=200) as service:
        assert [item["title"] for item in (await search(service, "i12"))["items"]] == ["Item number 12"]
