"""An unknown field of a body is named, with the most similar known one and all fields of its object."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from app.http.unknown_fields import MAX_NAME_CHARACTERS, MAX_NAMES, describe_unknown
from app.main import create_app
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
CHEAP = {"attribute": "price", "lt": 5}
RECOMMEND = (
    "user_id, history, k, exclude_seen, exclude, candidates, categories, filter, boost, promote, limit_per, diversity, "
    "rotate, cold_items, placement, version, min_history_version, explain, include, paginate, cursor"
)
PLACEMENT = "boost, promote, limit_per, diversity, rotate, k, exclude_seen, categories, filter, include, cold_items"
EVENT = "user_id, item_id, timestamp, event_id, recommendation_id, position, type"
ITEM = "item_id, title, categories, available, attributes, url, image_url"


@dataclass(frozen=True)
class Case:
    """A body with an unknown field: its path, and what the error says."""

    route: str
    body: dict[str, Any]
    field: str
    similar: str | None
    known: str


CASES = [
    Case("POST /recommend", {"user_id": "u", "exclude_sen": False}, "exclude_sen", "exclude_seen", RECOMMEND),
    Case("POST /recommend", {"userId": "u"}, "userId", "user_id", RECOMMEND),
    Case("POST /recommend", {"user_id": "u", "colour": "red"}, "colour", None, RECOMMEND),
    Case(
        "POST /recommend",
        {"user_id": "u", "boost": [{"filter": CHEAP, "add": 1, "boots": 1}]},
        "boost.0.boots",
        None,
        "filter, add",
    ),
    Case(
        "POST /recommend",
        {"user_id": "u", "promote": [{"filter": CHEAP, "slot": 1}]},
        "promote.0.slot",
        "slots",
        "filter, slots, positions",
    ),
    Case(
        "POST /recommend",
        {"user_id": "u", "rotate": {"minutes": 1, "penalties": 1}},
        "rotate.penalties",
        "penalty",
        "minutes, penalty",
    ),
    Case(
        "POST /recommend",
        {"history": [{"item_id": "i1", "timestamp": 1, "time": 2}]},
        "history.0.time",
        "timestamp",
        "item_id, timestamp",
    ),
    Case("POST /recommend/batch", {"requests": [{"user_id": "u"}], "request": 1}, "request", "requests", "requests"),
    Case(
        "POST /similar",
        {"item_id": "i1", "categorys": []},
        "categorys",
        "categories",
        "item_id, k, categories, filter, exclude, explain, include",
    ),
    Case("POST /events", {"events": [], "Events": []}, "Events", "events", "events"),
    Case("POST /events", {"events": [{"user_id": "u", "item": "i1"}]}, "events.0.item", "item_id", EVENT),
    Case("POST /users/{user_id}/merge", {"from": "a", "form": "b"}, "form", "from", "from"),
    Case("PUT /items", {"items": [], "item": []}, "item", "items", "items"),
    Case("PUT /items", {"items": [{"item_id": "i1", "name": "A"}]}, "items.0.name", None, ITEM),
    Case("PATCH /items", {"items": [{"item_id": "i1", "titel": "A"}]}, "items.0.titel", "title", ITEM),
    Case("PUT /placements/{name}", {"diversty": 0.5}, "diversty", "diversity", PLACEMENT),
    Case("PUT /experiments/{name}", {"variant": []}, "variant", "variants", "placement, variants"),
    Case(
        "PUT /experiments/{name}",
        {"variants": [{"name": "a", "share": 0.5, "versions": "x"}, {"name": "b", "share": 0.5}]},
        "variants.0.versions",
        "version",
        "name, share, version, placement",
    ),
    Case("POST /experiments/{name}/conclude", {"winner": "a", "metrics": 1}, "metrics", "metric", "winner, metric"),
    Case("PUT /models/{version}/shadow", {"second": 60}, "second", "seconds", "seconds, share"),
]


def format_expected(case: Case) -> str:
    name = case.field.rpartition(".")[2]
    similar = ";" if case.similar is None else f"; did you mean {case.similar!r}?"
    return f"unknown field {name!r}{similar} known fields: {case.known}"


async def send(service: Service, case: Case, body: dict[str, Any]) -> dict[str, Any]:
    method, path = case.route.split(" ")
    for parameter in ("{user_id}", "{name}", "{version}"):
        path = path.replace(parameter, "x")
    response = await service.http.request(
        method, path, content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert response.status_code == 422, response.text
    problem: dict[str, Any] = response.json()
    return problem


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.route} {case.field}")
async def test_unknown_field_is_named_with_the_known_ones(case: Case, service: Service) -> None:
    problem = await send(service, case, case.body)
    details = {error["field"]: error["detail"] for error in problem["errors"]}
    assert details[case.field] == format_expected(case)
    assert f"{case.field}: {format_expected(case)}" in problem["detail"]


LONG = [
    Case("POST /recommend", {"history": ["i1"] * 2000, "exclude_sen": 1}, "exclude_sen", "exclude_seen", RECOMMEND),
    Case(
        "POST /recommend",
        {"history": [{"item_id": "i1", "timestamp": 1}] * 200 + [{"item_id": "i1", "timestamp": 1, "time": 2}]},
        "history.200.time",
        "timestamp",
        "item_id, timestamp",
    ),
    Case(
        "POST /recommend",
        {"history": ["i1"] * 2000, "boost": [{"filter": CHEAP, "ad": 1}]},
        "boost.0.ad",
        "add",
        "filter, add",
    ),
    Case("POST /events", {"events": [{"item": "i" * 5000}]}, "events.0.item", "item_id", EVENT),
    Case("PUT /items", {"items": [{"titel": "A" * 5000}]}, "items.0.titel", "title", ITEM),
    Case("PUT /items", {"items": [{f"x{n}": n for n in range(60)}]}, "items.0.x0", None, ITEM),
    Case("PUT /placements/{name}", {"categories": ["a" * 5000], "kk": 1}, "kk", "k", PLACEMENT),
    Case("POST /users/{user_id}/merge", {"From": "a" * 5000}, "From", "from", "from"),
]


@pytest.mark.parametrize("case", LONG, ids=lambda case: f"{case.route} {case.field}")
async def test_unknown_field_of_a_long_body_is_named_too(case: Case, service: Service) -> None:
    problem = await send(service, case, case.body)
    assert {error["field"]: error["detail"] for error in problem["errors"]}[case.field] == format_expected(case)


def test_every_body_has_a_case() -> None:
    paths = create_app().openapi()["paths"]
    routes = {
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }
    assert routes == {case.route for case in CASES}


@pytest.mark.parametrize("name", ["body", "query", "path", "header"])
async def test_entry_with_a_field_named_like_a_part_of_a_request_is_rejected_alone(name: str, service: Service) -> None:
    body = {"requests": [{"user_id": "u", name: 1}, {"user_id": "u"}]}
    first, second = (await service.http.post("/recommend/batch", json=body)).json()["responses"]
    assert first == {"status": 422, "detail": f"{name}: unknown field {name!r}; known fields: {RECOMMEND}"}
    assert second["status"] == 200
    events = {"events": [{"user_id": "u", "item_id": "i1", name: 1}, {"user_id": "u", "item_id": "i1"}]}
    answer = (await service.http.post("/events", json=events)).json()
    assert [result["status"] for result in answer["results"]] == ["invalid", "stored"]
    items = {"items": [{"item_id": "i1", name: 1}]}
    problem = (await service.http.put("/items", json=items)).json()
    assert [error["detail"] for error in problem["errors"]] == [f"unknown field {name!r}; known fields: {ITEM}"]


@pytest.mark.parametrize(
    "name",
    ["a` - at `$.\u00b2", "a` - at `$.k[\u00b2]`", "a` - at `$", "` - at `$", "a`", "\ud7ff", "\x00", "1", "a.b", "\n"],
)
@pytest.mark.parametrize("num_items", [1, 2000])
async def test_unknown_field_of_any_name_is_named(name: str, num_items: int, service: Service) -> None:
    response = await service.http.post("/recommend", json={"history": ["i1"] * num_items, name: 1})
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"field": name, "detail": f"unknown field {name!r}; known fields: {RECOMMEND}"},
    ]


async def test_entry_of_a_batch_names_its_unknown_field(service: Service) -> None:
    body = {"requests": [{"user_id": "u", "exclude_sen": True}, {"user_id": "u"}]}
    first, second = (await service.http.post("/recommend/batch", json=body)).json()["responses"]
    assert first == {
        "status": 422,
        "detail": f"exclude_sen: unknown field 'exclude_sen'; did you mean 'exclude_seen'? known fields: {RECOMMEND}",
    }
    assert second["status"] == 200


async def test_many_unknown_fields_list_the_known_ones_once_per_object(service: Service) -> None:
    body = {"user_id": "u", **{f"x{n}": n for n in range(300)}, "rotate": {"minutes": 1, "a": 1, "b": 1}}
    response = await service.http.post("/recommend", json=body)
    details = [error["detail"] for error in response.json()["errors"]]
    assert len(details) == 50
    assert sum("known fields" in detail for detail in details) == 2
    assert len(response.content) < 6000


def test_description_is_short_for_any_name() -> None:
    fields = [f"field_{n}" for n in range(MAX_NAMES + 3)]
    detail = describe_unknown("n" * 100_000, fields)
    assert detail.startswith(f"unknown field '{'n' * MAX_NAME_CHARACTERS}…'; known fields: field_0, ")
    assert detail.endswith(f"field_{MAX_NAMES - 1} and 3 more")


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("hisotry", "history"),
        ("USER-ID", "user_id"),
        ("usr_id", "user_id"),
        ("candidate", "candidates"),
        ("filters", "filter"),
        ("limit", "limit_per"),
        ("price", None),
        ("note", None),
        ("", None),
        ("x" * 1000, None),
    ],
)
def test_similar_name_is_suggested_if_there_is_one(name: str, similar: str | None) -> None:
    text = describe_unknown(name, RECOMMEND.split(", "))
    assert (f"did you mean {similar!r}?" in text) if similar else ("did you mean" not in text)
