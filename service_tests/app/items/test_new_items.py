"""Items that the model was not trained on: in answers within seconds, under all filters and rules."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.inference.live.cooccurrences import Cooccurrences
from app.settings import Settings
from app.stores.keys import PLACEMENT_KEYS
from app.stores.redis.client import RedisClient
from models.catalogue.item_key import item_keys
from service_tests.support.service import Service, run_service, wait_until

pytestmark = pytest.mark.anyio

ALL: dict[str, Any] = {"history": ["i2", "i4", "i6"], "k": 70}
"""More than all items: new ones are among them."""


async def put(service: Service, *items: dict[str, Any]) -> None:
    response = await service.http.put("/items", json={"items": items})
    assert response.status_code == 200, response.text


async def list_ids(service: Service, **body: Any) -> list[str]:
    return [item["item_id"] for item in (await service.recommend(**body))["items"]]


def sum_weights(cooccurrences: Cooccurrences, key: int) -> float:
    pairs = cooccurrences.find(key)
    return 0.0 if pairs is None else float(pairs[1].sum())


async def wait_for(service: Service, is_right: Callable[[list[str]], bool], **body: Any) -> list[str]:
    """Wait until the answer is right: every process places new items by itself, within seconds."""
    async with asyncio.timeout(60):
        while not is_right(items := await list_ids(service, **body)):  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.05)
    return items


async def test_new_item_is_recommended_until_it_is_sold_out(service: Service) -> None:
    assert "lamp" not in await list_ids(service, **ALL)
    await put(service, {"item_id": "lamp", "title": "Lamp", "categories": ["low"]})
    answer = await wait_for(service, lambda items: "lamp" in items, **ALL)
    assert len(answer) == 60 - 3 + 1
    before = await service.read_metric("nextup_new_item_answers_total")
    (item,) = (await service.recommend(history=["i2"], k=5, candidates=["lamp"], include=["title", "categories"]))[
        "items"
    ]
    assert (item["item_id"], item["title"], item["categories"]) == ("lamp", "Lamp", ["low"])
    assert await service.read_metric("nextup_new_item_answers_total") == before + 1

    others = [name for name in answer if name != "lamp"]
    assert await list_ids(service, **ALL, cold_items="exclude") == others
    assert await list_ids(service, **ALL, exclude=["lamp"]) == others
    assert await list_ids(service, **ALL, explain=True) == others, "explanations are of trained items"
    assert "lamp" not in await list_ids(service, **ALL, categories=["odd"])
    assert "lamp" in await list_ids(service, **ALL, categories=["low"])

    await put(service, {"item_id": "lamp", "categories": ["low"], "available": False})
    assert await wait_for(service, lambda items: "lamp" not in items, **ALL) == others
    await put(service, {"item_id": "lamp", "categories": ["low"]})
    assert await wait_for(service, lambda items: "lamp" in items, **ALL) == answer
    assert (await service.http.delete("/items/lamp")).status_code == 200
    assert await wait_for(service, lambda items: "lamp" not in items, **ALL) == others


async def test_placement_says_whether_answers_have_new_items(service: Service, redis_client: RedisClient) -> None:
    await put(service, {"item_id": "lamp", "categories": ["low"]})
    await wait_for(service, lambda items: "lamp" in items, **ALL)
    assert (await service.http.put("/placements/trained", json={"cold_items": "exclude"})).status_code == 200
    assert "lamp" not in await list_ids(service, **ALL, placement="trained")
    assert "lamp" in await list_ids(service, **ALL, placement="trained", cold_items="include")
    await redis_client.delete(*PLACEMENT_KEYS)


async def test_filters_and_rules_hold_for_new_items(service: Service) -> None:
    lamps = [
        {"item_id": f"lamp{number}", "categories": ["low"], "attributes": {"price": number, "brand": "Lumen"}}
        for number in range(1, 5)
    ]
    await put(service, *lamps)
    await wait_for(service, lambda items: {"lamp1", "lamp4"} <= set(items), **ALL)
    cheap = {"attribute": "price", "lte": 2}
    assert set(await list_ids(service, **ALL, filter=cheap)) == {"lamp1", "lamp2"}
    assert await list_ids(service, **ALL, filter=cheap, cold_items="exclude") == []
    boosted = await list_ids(
        service, **ALL | {"k": 4}, boost=[{"filter": {"attribute": "brand", "eq": "Lumen"}, "add": 20}]
    )
    assert set(boosted) == {"lamp1", "lamp2", "lamp3", "lamp4"}
    promoted = await list_ids(service, **ALL, promote=[{"filter": {"attribute": "price", "gte": 4}, "positions": [2]}])
    assert promoted[1] == "lamp4"
    limited = await list_ids(service, **ALL, limit_per={"brand": 1})
    assert sum(name.startswith("lamp") for name in limited) == 1
    diverse = await list_ids(service, **ALL, diversity=0.5)
    assert len(diverse) == len(set(diverse)) == 60 - 3 + 4
    pages = [await service.recommend(**ALL | {"k": 20}, paginate=True)]
    while (cursor := pages[-1]["next_cursor"]) is not None:
        pages.append(await service.recommend(history=ALL["history"], k=20, cursor=cursor))
    shown = [item["item_id"] for page in pages for item in page["items"]]
    assert len(shown) == len(set(shown)) == 60 - 3 + 4


async def test_new_item_counts_in_a_history(service: Service) -> None:
    await put(service, {"item_id": "lamp", "categories": ["low"]})
    await wait_for(service, lambda items: "lamp" in items, **ALL)
    alone = await service.recommend(history=["lamp"], k=5)
    assert (alone["served_by"], alone["reason"], alone["unknown_items"]) == ("model", None, [])
    assert "lamp" not in await list_ids(service, history=["lamp"], k=70), "it is seen"
    assert "lamp" in await list_ids(service, history=["lamp"], k=70, exclude_seen=False)
    assert len(await list_ids(service, history=["lamp"], k=70)) == 60, "its substitute is not seen"
    assert await list_ids(service, history=["i1", "lamp"], k=9) != await list_ids(service, history=["i1"], k=9)
    explained = await service.recommend(history=["lamp"], k=5, explain=True)
    assert (explained["served_by"], explained["unknown_items"]) == ("popularity", ["lamp"])


async def test_clicks_on_new_items_are_counted(service: Service) -> None:
    await put(service, {"item_id": "lamp", "categories": ["low"]})
    await wait_for(service, lambda items: "lamp" in items, **ALL)
    recommendation_id = (await service.recommend(**ALL))["recommendation_id"]
    name = 'nextup_new_item_feedback_total{kind="click"}'
    before = await service.read_metric(name)
    events = [
        {"user_id": "clicks", "item_id": item_id, "type": "click", "recommendation_id": recommendation_id}
        for item_id in ("lamp", "lamp", "i9")
    ]
    assert (await service.http.post("/events", json={"events": events})).status_code == 202
    assert await service.read_metric(name) == before + 1


async def test_new_items_are_placed_when_a_service_starts(service: Service, settings: Settings) -> None:
    await put(
        service,
        {"item_id": "lamp", "categories": ["low"]},
        {"item_id": "plain"},
        {"item_id": "odd one out", "categories": ["x"]},
    )
    async with run_service(settings) as restarted:
        items = await list_ids(restarted, **ALL)
    assert ("lamp" in items, "plain" in items, "odd one out" in items) == (True, False, False)


async def test_newest_items_stay_within_the_limit(service: Service, settings: Settings) -> None:
    await put(service, *({"item_id": f"new{number}", "categories": ["low"]} for number in range(6)))
    await put(service, {"item_id": "new0", "categories": ["low", "even"]})
    async with run_service(settings.with_changes(new_items_max=3)) as limited:
        items = {name for name in await list_ids(limited, **ALL) if name.startswith("new")}
    assert items == {"new0", "new4", "new5"}
    async with run_service(settings.with_changes(new_items_max=0)) as closed:
        assert len(await list_ids(closed, **ALL)) == 57


async def test_events_place_an_item_without_categories(service: Service, new_user: Callable[[], str]) -> None:
    await put(service, {"item_id": "plain"})
    users = [new_user() for _ in range(4)]
    for user_id in users[:-1]:
        await service.post_events(user_id, "i20", "i21", "i22", "plain")
        await service.post_events(user_id, "i20", "i21", "i22", "plain")  # duplicates
        await service.post_events(user_id, "i20", "i21", "unlisted", "i30")
    cooccurrences = service.model.engine.servable.live.live.cooccurrences
    key = int(item_keys(["plain"])[0])
    await wait_until(lambda: sum_weights(cooccurrences, key) == pytest.approx(3 * (1 + 1 / 2 + 1 / 3)), 60)
    assert len(cooccurrences) == 1, "items that are not listed do not count"
    await wait_for(service, lambda items: "plain" in items, **ALL)
    others = await list_ids(service, history=["plain"], k=3)
    assert others == await list_ids(service, history=["i21"], k=3) or others == await list_ids(
        service, history=["i22"], k=3
    ), "it is read as the neighbour that is most like it"
