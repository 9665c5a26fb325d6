"""/placements: settings under a name are in Redis, bounded, and effective in every worker."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.rules.follower import PlacementFollower
from app.settings import Settings
from app.stores.keys import PLACEMENT_KEYS
from app.stores.placements import PlacementStore
from app.stores.redis.client import RedisClient
from service_tests.support.service import Service, run_service

pytestmark = pytest.mark.anyio
EVEN = {"attribute": "categories", "contains_any": ["even"]}
HOME = {"k": 4, "filter": EVEN, "boost": [{"filter": EVEN, "add": 0.5}], "limit_per": {"brand": 2}}


@pytest.fixture(autouse=True)
async def placements(redis_client: RedisClient) -> AsyncIterator[None]:
    """Leave no placement behind, because the tests of a session share a server."""
    yield
    await redis_client.delete(*PLACEMENT_KEYS)


async def put(service: Service, name: str, settings: Any, status: int = 200) -> dict[str, Any]:
    response = await service.http.put(f"/placements/{name}", json=settings)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def find_problem(service: Service, name: str, settings: Any) -> str:
    (error,) = (await put(service, name, settings, 422))["errors"]
    field: str = error["field"]
    return field


async def test_placement_is_stored_listed_and_removed(service: Service) -> None:
    assert await put(service, "home", HOME) == {"name": "home", "status": "created"}
    assert (await put(service, "home", HOME))["status"] == "unchanged"
    assert (await put(service, "home", HOME | {"k": 5}))["status"] == "updated"
    await put(service, "cart", {})
    home = {"name": "home", "settings": HOME | {"k": 5}}
    assert (await service.http.get("/placements/home")).json() == home
    assert (await service.http.get("/placements")).json() == {"placements": [{"name": "cart", "settings": {}}, home]}
    assert (await service.http.delete("/placements/cart")).json() == {"name": "cart"}
    for method in ("GET", "DELETE"):
        assert (await service.http.request(method, "/placements/cart")).status_code == 404


async def test_request_has_the_fields_of_its_placement_that_it_does_not_have(service: Service) -> None:
    await put(service, "home", HOME)

    async def list_items(**body: Any) -> list[str]:
        return [item["item_id"] for item in (await service.recommend(**body))["items"]]

    defaults = await list_items(history=["i7"], placement="home")
    assert defaults == await list_items(history=["i7"], **HOME)
    assert (len(defaults), {int(item[1:]) % 2 for item in defaults}) == (4, {0})
    assert await list_items(history=["i7"], placement="home", k=2) == defaults[:2]
    own = {"filter": {"not": EVEN}, "boost": [], "limit_per": {}}
    assert await list_items(history=["i7"], placement="home", **own) == await list_items(history=["i7"], k=4, **own)
    body = {"requests": [{"history": ["i7"], "placement": "home"}, {"history": ["i7"], "placement": "away"}]}
    answer, problem = (await service.http.post("/recommend/batch", json=body)).json()["responses"]
    assert [item["item_id"] for item in answer["items"]] == defaults
    assert (problem["status"], problem["detail"].split(":")[0]) == (422, "placement")


async def test_items_have_the_fields_that_the_placement_includes(service: Service) -> None:
    await put(service, "home", {"k": 2, "include": ["title"]})
    body = {"history": ["i7"], "placement": "home"}
    page = await service.recommend(**body, paginate=True)
    next_page = await service.recommend(history=["i7"], cursor=page["next_cursor"])
    (entry,) = (await service.http.post("/recommend/batch", json={"requests": [body]})).json()["responses"]
    for answer in (page, next_page, entry):
        assert [set(item) for item in answer["items"]] == [{"item_id", "score", "title"}] * 2
    own = await service.recommend(**body, include=[])
    assert [set(item) for item in own["items"]] == [{"item_id", "score"}] * 2


async def test_another_worker_follows(settings: Settings) -> None:
    async with run_service(settings) as first, run_service(settings) as second:
        request = {"history": ["i7"], "placement": "home"}
        assert (await second.http.post("/recommend", json=request)).status_code == 422
        for name, k in (("home", 3), ("home", 5), ("other", 1)):
            await put(first, name, {"k": k})
        async with asyncio.timeout(30):
            while len((await second.http.post("/recommend", json=request)).json().get("items", [])) != 5:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await first.http.delete("/placements/home")
        async with asyncio.timeout(30):
            while (await second.http.post("/recommend", json=request)).status_code != 422:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_wrong_settings_are_named(service: Service) -> None:
    wrong = {"all": [EVEN, {"attribute": "price", "lt": "cheap"}]}
    for settings, field in (
        ({"filter": wrong}, "filter.all.1.lt"),
        ({"boost": [{"filter": EVEN, "add": 1}, {"filter": wrong, "add": 1}]}, "boost.1.filter.all.1.lt"),
        ({"boost": [{"filter": EVEN, "add": 21}]}, "boost.0.add"),
        ({"promote": [{"filter": wrong}]}, "promote.0.filter.all.1.lt"),
        ({"limit_per": {"categories": 0}}, "limit_per.categories"),
        ({"diversity": 1.5}, "diversity"),
        ({"k": 101}, "k"),
        ({"user_id": "ada"}, "user_id"),
    ):
        assert await find_problem(service, "home", settings) == field
    large = {"filter": {"attribute": "brand", "in": ["x" * 200] * 30}}
    assert await find_problem(service, "home", large | {"boost": [large | {"add": "much"}]}) == "boost.0.add"
    assert (await put(service, "home", large))["status"] == "created"
    assert await find_problem(service, "no name", {}) == "name"
    assert await find_problem(service, "x" * 65, {}) == "name"


async def test_number_of_placements_is_bounded(redis_client: RedisClient) -> None:
    store = PlacementStore(redis_client, wait_s=10.0, max_placements=2)
    outcomes = [await store.put(name, b"{}") for name in ("a", "b", "c", "a")]
    assert outcomes == ["created", "created", "full", "unchanged"]
    assert [await store.remove("a"), await store.remove("a"), await store.put("c", b"{}") == "created"] == [
        True,
        False,
        True,
    ]
    await store.close()


async def test_damaged_settings_harm_no_other_placement(redis_client: RedisClient) -> None:
    store = PlacementStore(redis_client, wait_s=10.0)
    follower = PlacementFollower(store)
    await store.put("good", b'{"k": 3}')
    await store.put("bad", b'{"k": 0}')
    await follower.catch_up()
    good = follower.find("good")
    assert (good is not None and good.k, follower.find("bad")) == (3, None)
    await store.close()
