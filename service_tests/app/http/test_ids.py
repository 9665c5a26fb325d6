"""An id that no store can hold is refused at every door, with the name of its field, and harms no other entry."""

import pytest

from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
JSON = {"content-type": "application/json"}
BODIES = [
    ("/recommend", r'{"user_id": "\ud800"}', "user_id"),
    ("/recommend", r'{"history": ["i1", "\udfff"]}', "history.1"),
    ("/recommend", r'{"history": ["i1"], "candidates": ["\ud800"]}', "candidates.0"),
    ("/recommend", r'{"history": ["i1"], "categories": ["odd", "\ud800"]}', "categories.1"),
    ("/recommend", r'{"history": ["i1"], "filter": {"attribute": "brand", "eq": "\ud800"}}', "filter"),
    (
        "/recommend",
        r'{"history": ["i1"], "boost": [{"filter": {"attribute": "\ud800", "eq": 1}, "add": 1}]}',
        "boost.0.filter",
    ),
    ("/similar", r'{"item_id": "\ud800"}', "item_id"),
    ("/similar", r'{"item_id": "i1", "exclude": ["\ud800"]}', "exclude.0"),
    ("/users/ann/merge", r'{"from": "ann\ud800"}', "from"),
    ("/events", r'{"events": [{"user_id": "\ud800", "item_id": "i1"}]}', "events.0.user_id"),
    ("/events", r'{"events": [{"user_id": "ann", "item_id": "i\udc00"}]}', "events.0.item_id"),
    ("/events", r'{"events": [{"user_id": "ann", "item_id": "i1", "event_id": "\ud800"}]}', "events.0.event_id"),
    ("/events", r'{"events": [{"user_id": "ann", "item_id": "i1", "type": "\ud800"}]}', "events.0.type"),
]


@pytest.mark.parametrize(("path", "body", "field"), BODIES)
async def test_lone_surrogate_is_an_invalid_field(path: str, body: str, field: str, service: Service) -> None:
    response = await service.http.post(path, content=body, headers=JSON)
    assert (response.status_code, response.json()["title"]) == (422, "Invalid request"), response.text
    assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_event_with_a_lone_surrogate_refuses_no_other_event(service: Service) -> None:
    events = r'[{"user_id": "ann", "item_id": "i1"}, {"user_id": "\ud800", "item_id": "i1"}]'
    response = await service.http.post("/events", content=f'{{"events": {events}}}', headers=JSON)
    assert response.status_code == 202, response.text
    assert [result["status"] for result in response.json()["results"]] == ["stored", "invalid"]
    assert "user_id" in response.json()["results"][1]["detail"]
