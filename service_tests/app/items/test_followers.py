"""GET /items/{id}/followers: popularity and followers from the transition memory of the serving version."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from app.stores.keys import LIVE_ITEM_KEYS
from app.stores.redis.client import RedisClient
from service_tests.support.artifacts import write_neighbours_artifact
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def live_catalogue(redis_client: RedisClient) -> AsyncIterator[None]:
    """Leave no record behind, because the tests of a session share a server."""
    yield
    await redis_client.delete(*LIVE_ITEM_KEYS)


async def read(service: Service, path: str) -> dict[str, Any]:
    response = await service.http.get(path)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_followers_are_available_items_by_falling_weight(
    service_with: Callable[..., AbstractAsyncContextManager[Service]], tmp_path: Path
) -> None:
    async with service_with(artifact=write_neighbours_artifact(tmp_path / "artifact")) as service:
        answer = await read(service, "/items/i7/followers")
        assert (answer["item_id"], answer["popularity"]) == ("i7", {"events": 142, "rank": 7, "items": 60})
        followers = [follower["item_id"] for follower in answer["followers"]]
        weights = [follower["weight"] for follower in answer["followers"]]
        assert followers[:2] == ["i8", "i9"]
        assert weights == sorted(weights, reverse=True)
        assert (await read(service, "/items/i7/followers?k=1"))["followers"] == answer["followers"][:1]
        await service.http.put("/items", json={"items": [{"item_id": "i8", "available": False}]})
        assert (await read(service, "/items/i7/followers"))["followers"] == answer["followers"][1:]


async def test_items_without_followers_have_an_empty_list(service: Service) -> None:
    assert (await read(service, "/items/i7/followers"))["followers"] == []
    assert (await service.http.get("/items/nowhere/followers")).status_code == 404
    await service.http.put("/items", json={"items": [{"item_id": "brand-new"}]})
    popularity = {"events": 0, "rank": None, "items": 60}
    answer = {"item_id": "brand-new", "popularity": popularity, "followers": []}
    assert await read(service, "/items/brand-new/followers") == answer
