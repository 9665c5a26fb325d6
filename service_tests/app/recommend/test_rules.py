"""Rules of /recommend and /recommend/batch: in every source of answers, for both placements of the model."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.inference.servable import Servable
from app.stores.keys import LIVE_ITEM_KEYS
from app.stores.redis.client import RedisClient
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
CHEAP = {"attribute": "price", "lt": 10}
CHEAP_ITEMS = {f"i{number}" for number in range(1, 10)}
BRANDS = {f"i{number}": "ABCDE"[number % 5] for number in range(1, 61)}
HISTORY = {"history": ["i50"]}


@pytest.fixture
async def shop(service: Service, redis_client: RedisClient) -> AsyncIterator[Service]:
    """Every item has a price, the number in its id, and a brand, of which there are five."""
    items = [
        {"item_id": item_id, "attributes": {"price": int(item_id[1:]), "brand": brand}}
        for item_id, brand in BRANDS.items()
    ]
    response = await service.http.put("/items", json={"items": items})
    assert response.json()["created"] == len(items)
    async with asyncio.timeout(30):  # a dedicated model process follows within a second
        while set(await list_items(service, **HISTORY, k=60, filter=CHEAP)) != CHEAP_ITEMS:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    yield service
    await redis_client.delete(*LIVE_ITEM_KEYS)


def get_ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


async def list_items(service: Service, **body: Any) -> list[str]:
    return get_ids(await service.recommend(**body))


async def find_field(service: Service, **body: Any) -> str:
    response = await service.http.post("/recommend", json=HISTORY | body)
    assert response.status_code == 422, response.text
    field: str = response.json()["errors"][0]["field"]
    return field


async def test_boost_adds_to_the_scores_of_items_that_match(shop: Service) -> None:
    plain = (await shop.recommend(**HISTORY, k=59))["items"]
    for add in (-20, -0.25, 0.25, 20):
        boosted = {item["item_id"]: item["score"] + add * (item["item_id"] in CHEAP_ITEMS) for item in plain}
        expected = sorted(boosted, key=lambda item_id: (-boosted[item_id], int(item_id[1:])))
        for k in (1, 5, 59):
            answer = await shop.recommend(**HISTORY, k=k, boost=[{"filter": CHEAP, "add": add}])
            assert get_ids(answer) == expected[:k]
            for item in answer["items"]:
                assert item["score"] == pytest.approx(boosted[item["item_id"]], abs=1e-5)


async def test_promoted_items_are_at_their_positions_and_eligible(shop: Service) -> None:
    promote = [{"filter": CHEAP, "slots": 2, "positions": [1, 5]}]
    plain = await list_items(shop, **HISTORY, k=59)
    cheap = [item_id for item_id in plain if item_id in CHEAP_ITEMS]
    answer = await list_items(shop, **HISTORY, k=8, promote=promote)
    assert (answer[0], answer[4]) == (cheap[0], cheap[1])
    remaining_ids = [item_id for item_id in plain if item_id not in cheap[:2]]
    assert [*answer[1:4], *answer[5:]] == remaining_ids[:6]
    odd = {"categories": ["odd"], "exclude": [next(item_id for item_id in cheap if int(item_id[1:]) % 2)]}
    odd_cheap = [item_id for item_id in cheap if int(item_id[1:]) % 2 and item_id not in odd["exclude"]]
    answer = await list_items(shop, **HISTORY, k=8, promote=promote, **odd)
    assert (answer[0], answer[4]) == (odd_cheap[0], odd_cheap[1])
    assert len(await list_items(shop, **HISTORY, k=3, promote=promote, candidates=["i7", "i1"])) == 2
    free = [{"filter": CHEAP, "slots": 2}, {"filter": {"attribute": "price", "eq": 60}, "positions": [2]}]
    answer = await list_items(shop, **HISTORY, k=8, promote=free)
    assert answer[:3] == [cheap[0], "i60", cheap[1]], "the first free positions"


async def test_items_under_rules_are_explained(shop: Service) -> None:
    answer = await shop.recommend(**HISTORY, k=3, boost=[{"filter": CHEAP, "add": 20}], explain=True)
    assert {item["item_id"] for item in answer["items"]} <= CHEAP_ITEMS
    assert [item["because"][0]["item_id"] for item in answer["items"]] == ["i50"] * 3


async def test_no_value_has_more_items_than_its_limit(shop: Service) -> None:
    for limit, k in ((1, 5), (2, 10), (3, 60)):
        answer = await list_items(shop, **HISTORY, k=k, limit_per={"brand": limit})
        counts = Counter(BRANDS[item_id] for item_id in answer)
        assert (len(answer), set(counts.values())) == (5 * limit, {limit}), "filled as far as items are eligible"
    answer = await list_items(shop, **HISTORY, k=10, limit_per={"categories": 3})
    assert Counter(int(item_id[1:]) % 2 for item_id in answer).most_common()[0][1] <= 3
    assert await list_items(shop, **HISTORY, k=10, limit_per={"colour": 1}) == await list_items(shop, **HISTORY)


async def test_diversity_begins_with_the_best_item_and_keeps_k(shop: Service) -> None:
    plain = await list_items(shop, **HISTORY, k=59)
    answer = await list_items(shop, **HISTORY, k=5, diversity=0.7)
    assert answer[0] == plain[0]
    assert (len(set(answer)), answer == plain[:5]) == (5, False)
    assert set(answer) <= set(plain[:50]), "the best 10 k"


async def test_sources_without_the_model_obey_rules(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    rules: dict[str, Any] = {
        "boost": [{"filter": CHEAP, "add": -20}],
        "promote": [{"filter": {"attribute": "price", "eq": 60}, "positions": [2]}],
        "limit_per": {"brand": 2},
        "diversity": 0.5,
        "k": 10,
    }
    for user, body in (("cached", {"k": 30}), ("ruled", rules)):
        await shop.post_events(user, "i50")
        assert (await shop.recommend(user_id=user, **body))["served_by"] == "model"

    def fail(*_: object) -> None:
        raise RuntimeError("out of the ordinary")

    monkeypatch.setattr(Servable, "run_batch", fail)
    best = (await shop.recommend(user_id="cached", k=1))["items"][0]["item_id"]
    for user, source, first in (
        ("cached", "cache", best),
        ("ruled", "popularity", "i10"),
        ("new", "popularity", "i10"),
    ):
        answer = await shop.recommend(user_id=user, **rules)
        assert answer["served_by"] == source, "an answer under rules is not cached"
        items = get_ids(answer)
        assert items[:2] == [first, "i60"]
        assert not set(items) & CHEAP_ITEMS
        assert set(Counter(BRANDS[item_id] for item_id in items).values()) == {2}


async def test_pages_keep_their_rules_and_repeat_no_item(shop: Service) -> None:
    rules: dict[str, Any] = {
        "boost": [{"filter": CHEAP, "add": 1}],
        "promote": [{"filter": CHEAP, "slots": 3, "positions": [1, 3, 8]}],
        "limit_per": {"brand": 2},
        "diversity": 0.2,
    }
    pages = [await shop.recommend(**HISTORY, k=5, **rules, paginate=True)]
    while (cursor := pages[-1]["next_cursor"]) is not None:
        pages.append(await shop.recommend(**HISTORY, **rules, cursor=cursor))
        assert max(Counter(BRANDS[item_id] for item_id in get_ids(pages[-1])).values(), default=0) <= 2
    items = [item_id for page in pages for item_id in get_ids(page)]
    assert len(set(items)) == len(items) == 59
    assert {items[0], items[2], items[7]} <= CHEAP_ITEMS
    for name in rules:
        without = {field: value for field, value in rules.items() if field != name}
        assert await find_field(shop, **without, cursor=pages[0]["next_cursor"]) == name


async def test_pages_of_a_placement_need_only_their_cursor(shop: Service) -> None:
    await shop.http.put("/placements/pages", json={"k": 4, "filter": CHEAP, "boost": [{"filter": CHEAP, "add": 1}]})
    await shop.post_events("pages", "i50")
    first = await shop.recommend(user_id="pages", placement="pages", paginate=True)
    second = await shop.recommend(cursor=first["next_cursor"])
    third = await shop.recommend(cursor=second["next_cursor"])
    assert [len(page["items"]) for page in (first, second, third)] == [4, 4, 1]
    assert {item_id for page in (first, second, third) for item_id in get_ids(page)} == CHEAP_ITEMS
    assert await find_field(shop, placement="other", cursor=first["next_cursor"]) == "placement"
    await shop.http.delete("/placements/pages")


async def test_wrong_rules_are_named_on_both_paths(shop: Service) -> None:
    wrong = {"all": [CHEAP, {"attribute": "price", "lt": "cheap"}]}
    boost = {"filter": CHEAP, "add": 1}
    promotion = {"filter": CHEAP, "slots": 2}
    for body, field in (
        ({"boost": [boost, {"filter": wrong, "add": 1}]}, "boost.1.filter.all.1.lt"),
        ({"boost": [{"filter": CHEAP, "add": 20.5}]}, "boost.0.add"),
        ({"boost": [{"filter": CHEAP}]}, "boost.0.add"),
        ({"boost": [boost] * 6}, "boost"),
        ({"boost": [boost | {"more": 1}]}, "boost.0.more"),
        ({"promote": [{"filter": wrong}]}, "promote.0.filter.all.1.lt"),
        ({"promote": [promotion | {"positions": [1]}]}, "promote.0"),
        ({"promote": [promotion | {"positions": [1, 5, 5]}]}, "promote.0"),
        ({"promote": [promotion | {"positions": [1, 0]}]}, "promote.0.positions.1"),
        ({"promote": [promotion | {"positions": [1, 4]}, {"filter": CHEAP, "positions": [4]}]}, "promote.1.positions"),
        ({"limit_per": {"categories": 0}}, "limit_per.categories"),
        ({"limit_per": {"": 1}}, "limit_per..[key]"),
        ({"limit_per": {str(number): 1 for number in range(5)}}, "limit_per"),
        ({"diversity": 2}, "diversity"),
        ({"placement": "away"}, "placement"),
    ):
        for padding in ({}, {"exclude": [f"x{number:04}" for number in range(600)]}):  # a small and a large body
            assert await find_field(shop, **body, **padding) == field, body
    body = {"requests": [HISTORY | {"boost": [{"filter": wrong, "add": 1}]}, HISTORY | {"boost": [boost], "k": 2}]}
    problem, answer = (await shop.http.post("/recommend/batch", json=body)).json()["responses"]
    assert (problem["status"], problem["detail"].split(":")[0]) == (422, "boost.0.filter.all.1.lt")
    assert set(get_ids(answer)) <= set(BRANDS)
