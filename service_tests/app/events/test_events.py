"""POST /events: events are validated one by one, idempotent, and ordered by time."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from app.events.schemas import EventsResponse
from app.stores.records import decode_records
from app.stores.redis.client import RedisClient
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


async def send(service: Service, *events: Any) -> dict[str, Any]:
    response = await service.http.post("/events", json={"events": list(events)})
    assert response.status_code == 202, response.text
    EventsResponse.model_validate(response.json(), extra="forbid")
    answer: dict[str, Any] = response.json()
    return answer


async def read_history(service: Service, user: str) -> list[tuple[str, int]]:
    answer = (await service.http.get(f"/users/{user}/history")).json()
    return [(event["item_id"], event["timestamp"]) for event in answer["events"]]


async def test_history_is_in_time_order_for_events_in_any_order(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    events = [{"user_id": user, "item_id": f"i{n}", "timestamp": 1_700_000_000 + n} for n in (5, 1, 4, 2, 3)]
    answer = await send(service, *events)
    assert answer["stored"] == 5
    assert [item for item, _ in await read_history(service, user)] == ["i1", "i2", "i3", "i4", "i5"]


async def test_repeated_event_is_a_duplicate(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    event = {"user_id": user, "item_id": "i1", "timestamp": 1_700_000_000}
    event_with_id = {"user_id": user, "item_id": "i2", "event_id": "once"}
    first = await send(service, event, event_with_id)
    repeated = await send(service, event, event_with_id | {"item_id": "i3"})
    assert [result["status"] for result in first["results"]] == ["stored", "stored"]
    assert [result["status"] for result in repeated["results"]] == ["duplicate", "duplicate"]
    assert repeated["results"][-1]["history_version"] == 2


async def test_result_of_an_invalid_event_names_the_field_and_the_others_are_stored(
    service: Service, new_user: Callable[[], str]
) -> None:
    user = new_user()
    good = {"user_id": user, "item_id": "i1"}
    answer = await send(
        service,
        good,
        {"user_id": user},
        "nonsense",
        {"user_id": user, "item_id": "x" * 129},
        {"user_id": user, "item_id": "i2", "timestamp": "yesterday"},
        {"user_id": user, "item_id": "i2", "timestamp": time.time() + 2 * 24 * 3600},
        {"user_id": user, "item_id": "i2", "typ": "view"},
        {"user_id": user, "item_id": "i2", "timestamp": 1e300},
        good | {"item_id": "i3"},
    )
    assert [result["status"] for result in answer["results"]] == ["stored", *["invalid"] * 7, "stored"]
    fields = [result["detail"].split(":")[0] for result in answer["results"][1:-1]]
    assert fields == ["item_id", "event", "item_id", "timestamp", "timestamp", "typ", "timestamp"]
    assert (answer["stored"], answer["invalid"]) == (2, 7)


@pytest.mark.parametrize(
    ("timestamp", "milliseconds"),
    [
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000.25, 1_700_000_000_250),
        (1_700_000_000_123, 1_700_000_000_123),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500),
        (1_700_000_000_123_456, 1_700_000_000_123),
        (1_700_000_000_123_456_789, 1_700_000_000_123),
        ("1700000000", 1_700_000_000_000),
        (3, 3000),
    ],
)
async def test_unit_of_a_timestamp_is_determined_by_its_size(
    timestamp: Any, milliseconds: int, service: Service, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await send(service, {"user_id": user, "item_id": "i1", "timestamp": timestamp})
    assert await read_history(service, user) == [("i1", milliseconds)]


async def test_event_without_timestamp_gets_the_time_of_arrival(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    before = time.time_ns() // 1_000_000
    await send(service, {"user_id": user, "item_id": 77})
    ((item, at),) = await read_history(service, user)
    assert item == "77"
    assert before <= at <= time.time_ns() // 1_000_000


async def test_event_older_than_a_full_history_is_late(
    service_with: Callable[..., Any], new_user: Callable[[], str]
) -> None:
    user = new_user()
    async with service_with(history_max_events=3) as service:
        await service.post_events(user, "i1", "i2", "i3", "i4")
        answer = await send(service, {"user_id": user, "item_id": "i9", "timestamp": 1})
        assert answer["results"] == [{"status": "late", "history_version": 4, "known_item": True}]
        assert answer["late"] == 1
        assert [item for item, _ in await read_history(service, user)] == ["i2", "i3", "i4"]


async def test_history_has_item_and_time_and_the_event_log_the_rest(
    service: Service, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user, time_ms = new_user(), 1_700_000_000_123
    event = {"user_id": user, "item_id": "i1", "timestamp": time_ms, "type": "buy", "recommendation_id": "abc"}
    await send(service, event)
    assert (await service.http.get(f"/users/{user}/history")).json()["events"] == [
        {"item_id": "i1", "timestamp": time_ms}
    ]
    entries: Any = await redis_client.xrange("n:log")
    (records,) = [fields[b"r"] for _, fields in entries if fields[b"u"] == user.encode()]
    (logged,) = decode_records(records)
    assert (logged.item_id, logged.timestamp_ms, logged.type, logged.recommendation_id) == ("i1", time_ms, "buy", "abc")


@pytest.mark.parametrize("count", [0, 1001])
async def test_request_must_have_1_to_1000_events(count: int, service: Service) -> None:
    events = [{"user_id": "u", "item_id": "i"}] * count
    response = await service.http.post("/events", json={"events": events})
    assert response.status_code == 422
    assert "events" in response.json()["detail"]


async def test_results_are_counted_in_metrics(service: Service, new_user: Callable[[], str]) -> None:
    names = [f'nextup_events_total{{result="{result}"}}' for result in ("stored", "duplicate", "invalid")]
    before = [await service.read_metric(name) for name in names]
    event = {"user_id": new_user(), "item_id": "i1", "timestamp": 5}
    await send(service, event, event, {})
    assert [await service.read_metric(name) for name in names] == [value + 1 for value in before]
    assert await service.read_metric("nextup_event_visible_seconds_count") >= 1
