"""PUT, PATCH and DELETE /items: what operators say is in every answer at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.stores.keys import LIVE_ITEM_KEYS
from app.stores.redis.client import RedisClient
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def live_catalogue(redis_client: RedisClient) -> AsyncIterator[None]:
    """Leave no record behind, because the tests of a session share a server."""
    yield
    await redis_client.delete(*LIVE_ITEM_KEYS)


async def put(service: Service, *items: dict[str, Any], method: str = "PUT") -> dict[str, Any]:
    response = await service.http.request(method, "/items", json={"items": items})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def wait_for_items(service: Service, path: str, body: dict[str, Any], expected: list[str]) -> None:
    """A dedicated model process reads changes by itself, within a second."""
    async with asyncio.timeout(60):
        while await list_items(service, path, body) != expected:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.05)


async def list_items(service: Service, path: str, body: dict[str, Any]) -> list[str]:
    response = await service.http.post(path, json=body)
    assert response.status_code == 200, response.text
    return [item["item_id"] for item in response.json()["items"]]


async def test_unavailable_item_is_in_no_answer(service: Service) -> None:
    questions: list[tuple[str, dict[str, Any]]] = [
        ("/recommend", {"history": ["i1", "i2"], "k": 59}),
        ("/recommend", {"history": ["i1"], "k": 3, "candidates": ["i5", "i6", "i7"]}),
        ("/recommend", {"history": ["i1"], "k": 59, "categories": ["even"]}),
        ("/recommend", {"user_id": "nobody", "k": 60}),
        ("/similar", {"item_id": "i5", "k": 59}),
    ]
    before = [await list_items(service, path, body) for path, body in questions]
    gone = sorted({*before[0][:2], "i6"})
    result = await put(service, *({"item_id": item_id, "available": False} for item_id in gone))
    assert (result["created"], [entry["known_item"] for entry in result["results"]]) == (len(gone), [True] * len(gone))
    after = [[item_id for item_id in items if item_id not in gone] for items in before]
    await wait_for_items(service, *questions[0], after[0])
    assert [await list_items(service, path, body) for path, body in questions] == after
    batch = (await service.http.post("/recommend/batch", json={"requests": [questions[0][1]]})).json()
    assert not {item["item_id"] for item in batch["responses"][0]["items"]} & set(gone)
    await put(service, *({"item_id": item_id, "available": True} for item_id in gone), method="PATCH")
    await wait_for_items(service, *questions[0], before[0])
    assert [await list_items(service, path, body) for path, body in questions] == before


async def test_sent_again_changes_nothing(service: Service) -> None:
    item = {"item_id": "new", "title": "Lamp", "attributes": {"price": 5, "tags": ["a"]}, "url": "https://x.test/1"}
    assert (await put(service, item))["results"] == [{"item_id": "new", "status": "created", "known_item": False}]
    assert (await put(service, item))["unchanged"] == 1
    stored = (await service.http.get("/items/new")).json()
    expected: dict[str, Any] = item | {"categories": [], "rank": None, "count": 0, "available": True, "image_url": None}
    assert stored == expected
    assert (await service.http.delete("/items/new")).json() == {"item_id": "new", "status": "removed"}
    assert (await service.http.delete("/items/new")).status_code == 404
    assert (await service.http.get("/items/new")).status_code == 404


async def test_patch_changes_only_what_it_names(service: Service) -> None:
    await put(service, {"item_id": "i3", "title": "Old", "attributes": {"price": 5, "size": "L"}})
    patch = {"item_id": "i3", "available": False, "attributes": {"price": 4.5, "size": None, "new": True}}
    assert (await put(service, patch, method="PATCH"))["updated"] == 1
    stored = (await service.http.get("/items/i3")).json()
    assert (stored["title"], stored["available"]) == ("Old", False)
    assert stored["attributes"] == {"price": 4.5, "new": True}
    await put(service, {"item_id": "i3", "title": None, "attributes": None, "available": None}, method="PATCH")
    stored = (await service.http.get("/items/i3")).json()
    assert (stored["title"], stored["available"], stored["attributes"]) == ("Item number 3", True, {})
    many = {f"a{number}": number for number in range(20)}
    await put(service, {"item_id": "i3", "attributes": many}, method="PATCH")
    more = {"item_id": "i3", "attributes": {f"b{number}": 1 for number in range(20)}}
    (result,) = (await put(service, more, method="PATCH"))["results"]
    assert (result["status"], result["errors"][0]["field"]) == ("invalid", "attributes")


async def test_patches_cannot_make_an_item_larger_than_an_item_of_a_request(service: Service) -> None:
    def attributes(letters: str) -> dict[str, Any]:
        return {letter + str(number): ["é" * 80] * 7 for letter in letters for number in range(8)}

    for letter in "abc":
        await put(service, {"item_id": "i3", "attributes": attributes(letter)}, method="PATCH")
    patches: list[dict[str, Any]] = [
        {"item_id": "i3", "attributes": attributes("d")},
        {"item_id": "i3", "available": False},
    ]
    results = (await put(service, *patches, method="PATCH"))["results"]
    assert [result["status"] for result in results] == ["invalid", "updated"]
    assert results[0]["errors"][0]["field"] == "attributes"
    assert "32,768 bytes" in results[0]["detail"]
    stored = (await service.http.get("/items/i3")).json()
    assert (stored["attributes"], stored["available"]) == (attributes("abc"), False)


async def test_live_titles_and_categories_are_in_answers(service: Service) -> None:
    await put(service, {"item_id": "i4", "title": "New title", "categories": ["fresh"]})
    await wait_for_items(service, "/recommend", {"history": ["i1"], "k": 3, "categories": ["fresh"]}, ["i4"])
    body = {"history": ["i1"], "k": 3, "categories": ["fresh"], "include": ["title", "categories"]}
    (item,) = (await service.http.post("/recommend", json=body)).json()["items"]
    assert (item["item_id"], item["title"], item["categories"]) == ("i4", "New title", ["fresh"])
    even = await list_items(service, "/recommend", {"history": ["i1"], "k": 60, "categories": ["even"]})
    assert "i4" not in even
    assert "i2" in even
    similar = {"item_id": "i2", "k": 1, "categories": ["fresh"], "include": ["title"]}
    (item,) = (await service.http.post("/similar", json=similar)).json()["items"]
    assert item["title"] == "New title"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"title": "no id"}, "items.1.item_id"),
    ({"item_id": "x", "attributes": {"bad name": 1}}, "items.1.attributes.bad name"),
    ({"item_id": "x", "attributes": {"a": {"b": 1}}}, "items.1.attributes.a"),
    ({"item_id": "x", "attributes": {"a": 1e400}}, "items.1.attributes.a"),
    ({"item_id": "x", "attributes": {"categories": ["a"]}}, "items.1.attributes.categories"),
    ({"item_id": "x", "available": "no"}, "items.1.available"),
    ({"item_id": "x", "url": "javascript:alert(1)"}, "items.1.url"),
    ({"item_id": "x", "price": 3}, "items.1.price"),
    ({"item_id": "x", "title": "t" * 40_000}, "items.1"),
]


@pytest.mark.parametrize(("item", "field"), WRONG, ids=[field for _, field in WRONG])
async def test_wrong_item_is_named_and_the_others_are_stored(
    service: Service, item: dict[str, Any], field: str
) -> None:
    content = json.dumps({"items": [{"item_id": "good"}, item]}).replace("Infinity", "1e400")
    headers = {"content-type": "application/json"}
    response = await service.http.put("/items", content=content, headers=headers)
    assert response.status_code == 200, response.text
    good, bad = response.json()["results"]
    assert (good["status"], bad["status"], bad["item_id"]) == (
        "created",
        "invalid",
        None if field == "items.1" else item.get("item_id"),  # an item that is too large is not parsed
    )
    assert bad["errors"][0]["field"].startswith(field.removeprefix("items.1").removeprefix(".") or "item")
    alone = json.dumps({"items": [{}, item]}).replace("Infinity", "1e400")
    rejected = await service.http.put("/items", content=alone, headers=headers)
    assert rejected.status_code == 422
    assert any(error["field"].startswith(field) for error in rejected.json()["errors"])


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("value", [10**30, -(2**53) - 1, {}, [1], "x" * 257], ids=range(5))
async def test_wrong_attribute_has_one_reason(service: Service, value: Any, method: str) -> None:
    items: list[dict[str, Any]] = [
        {"item_id": 10**4000, "attributes": {"a": value}},
        {"item_id": "good", "attributes": {"a": 2**53}},
    ]
    (bad, good), item_id = (
        (await put(service, *items, method=method))["results"],
        {"item_id": None, "status": "invalid"},
    )
    assert (bad | item_id, good["status"]) == (bad, "created")
    reasons = {error["field"]: error["detail"] for error in bad["errors"]}
    assert set(reasons) == {"item_id", "attributes.a"}
    assert "must be true, false, a finite number" in reasons["attributes.a"]


async def test_too_many_items_are_refused(service: Service) -> None:
    response = await service.http.put("/items", json={"items": [{"item_id": f"i{n}"} for n in range(1001)]})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "items")


async def test_text_among_numbers_is_stored_with_a_warning(service: Service) -> None:
    numbers = [{"item_id": f"i{n}", "attributes": {"cost": n, "brand": "Lumen"}} for n in range(1, 9)]
    times = {"cost": "2026-05-01T00:00:00Z"}
    first = await put(service, *numbers, {"item_id": "i9", "attributes": {"cost": "12.99", "brand": "Argent"}})
    assert [entry.get("warnings") for entry in first["results"][:8]] == [None] * 8
    [warning] = first["results"][8]["warnings"]
    assert (first["results"][8]["status"], warning["field"]) == ("created", "attributes.cost")
    assert warning["detail"].startswith(
        "is a text, and 8 of 9 items have a number; comparisons such as lt do not match"
    )
    again = await put(service, {"item_id": "i10", "attributes": {"cost": "n/a"}}, method="PATCH")
    assert "8 of 10 items have a number" in again["results"][0]["warnings"][0]["detail"]
    better = await put(
        service, {"item_id": "i9", "attributes": {"cost": 12.99}}, {"item_id": "i11", "attributes": times}
    )
    assert [entry.get("warnings") for entry in better["results"]] == [None, None]
    answer = await service.http.get("/items/i10")
    assert answer.json()["attributes"] == {"cost": "n/a"}


async def test_texts_of_an_attribute_of_texts_have_no_warning(service: Service) -> None:
    items = [{"item_id": f"i{n}", "attributes": {"size": value}} for n, value in enumerate(("S", "M", "L", 42), 1)]
    result = await put(service, *items)
    assert [entry.get("warnings") for entry in result["results"]] == [None] * 4


async def test_warning_of_an_invalid_item_is_not_that_of_the_next_one(service: Service) -> None:
    numbers = [{"item_id": f"i{n}", "attributes": {"weight": n}} for n in range(1, 5)]
    wrong = {"item_id": "i7", "attributes": {"weight": {}}}
    result = await put(service, *numbers, wrong, {"item_id": "i8", "attributes": {"weight": "7 kg"}}, {"item_id": "i9"})
    statuses = [(entry["status"], "warnings" in entry) for entry in result["results"][4:]]
    assert statuses == [("invalid", False), ("created", True), ("created", False)]
