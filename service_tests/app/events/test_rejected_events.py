"""Events that are not stored: their results name every invalid field, and the reason why a type is ignored."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.history_types import NEGATIVE_TYPES, HistoryTypes
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]


async def send(service: Service, *events: Any) -> httpx.Response:
    return await service.http.post("/events", json={"events": list(events)})


async def read_items(service: Service, user: str) -> list[str]:
    answer = (await service.http.get(f"/users/{user}/history")).json()
    return [event["item_id"] for event in answer["events"]]


async def test_request_without_valid_event_is_422_that_names_the_fields(
    service: Service, new_user: Callable[[], str]
) -> None:
    before = await service.read_metric('nextup_events_total{result="invalid"}')
    response = await send(service, {"item": "i1"}, "nonsense", {"user_id": new_user(), "item_id": ""})
    problem = response.json()
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert problem["detail"].startswith("no event is valid, so none is stored: events.0.user_id: Field required")
    fields = [error["field"] for error in problem["errors"]]
    assert fields == ["events.0.user_id", "events.0.item_id", "events.0.item", "events.1", "events.2.item_id"]
    assert await service.read_metric('nextup_events_total{result="invalid"}') == before + 3


async def test_rejection_of_many_events_lists_at_most_50_fields(service: Service) -> None:
    response = await send(service, *[{"x" * 150: 1, "y": 1}] * 1000)
    assert response.status_code == 422
    assert len(response.json()["errors"]) == 50
    assert len(response.content) < 30_000


async def test_one_valid_event_is_enough_for_202(service: Service, new_user: Callable[[], str]) -> None:
    event = {"user_id": new_user(), "item_id": "i1", "timestamp": 5}
    for status in ("stored", "duplicate"):
        response = await send(service, event, {})
        assert (response.status_code, response.json()["results"][0]["status"]) == (202, status)


async def test_result_names_every_invalid_field(service: Service, new_user: Callable[[], str]) -> None:
    wrong = {"user_id": "", "timestamp": 4e9, "event_id": [], "type": "x" * 129, "recommendation_id": 5, "typ": 1}
    response = await send(service, {"user_id": new_user(), "item_id": "i1"}, wrong)
    result = response.json()["results"][1]
    fields = ["user_id", "item_id", "timestamp", "event_id", "recommendation_id", "type", "typ"]
    assert [error["field"] for error in result["errors"]] == fields
    assert [part.split(":")[0] for part in result["detail"].split("; ")][:3] == fields[:3]
    assert "typ: " in result["detail"]
    assert "history_version" not in result
    assert "known_item" not in result


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [
        ("2023-11-14T22:13:20", "has no offset from UTC; append Z for UTC"),
        ("2023-11-14 22:13:20.5", "has no offset from UTC"),
        ("2023-11-14", "has no offset from UTC"),
        ("yesterday", "must be a Unix time"),
        ("", "must be a Unix time"),
        (True, "must be a Unix time"),
        ([], "must be a Unix time"),
        ("nan", "must be a finite number"),
        ("-Infinity", "must be a finite number"),
        (1e300, "more than a day in the future"),
        (10**400, "more than a day in the future"),
        (-(10**400), "out of range"),
        (-1e300, "out of range"),
        ("9999-12-31T00:00:00Z", "more than a day in the future"),
        ({"x": 1}, "must be a Unix time"),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_rejected_timestamp_is_explained(
    timestamp: Any, reason: str, service: Service, new_user: Callable[[], str]
) -> None:
    response = await send(service, {"user_id": new_user(), "item_id": "i1", "timestamp": timestamp})
    (error,) = response.json()["errors"]
    assert error["field"] == "events.0.timestamp"
    assert reason in error["detail"]


async def test_result_reports_whether_the_model_knows_the_item(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    events = [{"user_id": user, "item_id": item, "timestamp": 5} for item in ("i1", "unheard", "i1")]
    events.append({"user_id": user, "item_id": "i2", "type": "impression"})
    results = (await send(service, *events)).json()["results"]
    assert [result["known_item"] for result in results] == [True, False, True, True]


@pytest.mark.parametrize("event_type", ["impression", "dislike", "Remove-From-Cart", " IMPRESSION "])
async def test_type_that_is_not_a_choice_does_not_enter_the_history(
    event_type: str, service: Service, new_user: Callable[[], str]
) -> None:
    user = new_user()
    events = [{"user_id": user, "item_id": "i1", "type": event_type}, {"user_id": user, "item_id": "i2", "type": "buy"}]
    answer = (await send(service, *events)).json()
    assert [result["status"] for result in answer["results"]] == ["ignored", "stored"]
    assert "NEXTUP_HISTORY_TYPES" in answer["results"][0]["detail"]
    assert (answer["stored"], answer["ignored"]) == (1, 1)
    assert await read_items(service, user) == ["i2"]


async def test_request_with_ignored_events_only_is_accepted(service: Service, new_user: Callable[[], str]) -> None:
    before = await service.read_metric('nextup_events_total{result="ignored"}')
    event = {"user_id": new_user(), "item_id": "i1", "type": "impression"}
    response = await send(service, event, {"user_id": 1.5})
    assert (response.status_code, response.json()["ignored"], response.json()["invalid"]) == (202, 1, 1)
    assert await service.read_metric('nextup_events_total{result="ignored"}') == before + 1


async def test_setting_lists_the_types_that_enter_histories(
    service_with: ServiceWith, new_user: Callable[[], str]
) -> None:
    user = new_user()
    types = ["buy", "view", None, "Dislike"]
    events = [{"user_id": user, "item_id": f"i{n}", "type": name} for n, name in enumerate(types, 1)]
    async with service_with(history_types=" Buy, dislike ") as service:
        results = (await send(service, *events)).json()["results"]
        assert [result["status"] for result in results] == ["stored", "ignored", "stored", "stored"]
        reason = "type 'view' is not in NEXTUP_HISTORY_TYPES, so the event is not stored"
        assert results[1]["detail"] == f"{reason}; without recommendation_id it is no feedback either"
        assert await read_items(service, user) == ["i1", "i3", "i4"]


@given(listed=st.lists(st.text("abc_- ", min_size=1), max_size=3), name=st.text("abcABC_- ", min_size=1))
def test_listed_type_is_included_whatever_its_case_and_separators(listed: list[str], name: str) -> None:
    types = HistoryTypes(",".join([*listed, name]))
    variants = {name, name.upper(), name.replace("-", "_"), f" {name} "}
    assert not name.strip() or all(types.includes(variant) for variant in variants)
    assert types.includes(None)


def test_without_setting_only_negative_types_are_excluded() -> None:
    for text in ("", " ", ","):
        types = HistoryTypes(text)
        assert all(map(types.includes, ("view", "buy", "click", "purchase", "add_to_cart", "rating", "like")))
        assert not any(map(types.includes, NEGATIVE_TYPES))
