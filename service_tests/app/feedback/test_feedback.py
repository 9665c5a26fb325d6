"""Impressions, clicks and conversions are attributed by their recommendation, and each is counted once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import ValidationError

from app.bench.synthetic_users import make_user_ids
from app.settings import Settings
from app.stores.feedback_marks import MAX_MARKS
from app.telemetry.feedback import find_position_label
from service_tests.support.service import Service, run_service

pytestmark = pytest.mark.anyio


@pytest.fixture
async def other_worker(settings: Settings) -> AsyncIterator[Service]:
    async with run_service(settings) as service:
        yield service


async def send(service: Service, *events: dict[str, Any]) -> dict[str, Any]:
    response = await service.http.post("/events", json={"events": list(events)})
    assert response.status_code == 202, response.text
    answer: dict[str, Any] = response.json()
    return answer


class Counts:
    """How much was counted since the last call."""

    def __init__(self, service: Service, answer: dict[str, Any]) -> None:
        self._service = service
        self._labels = f'model_version="{answer["model_version"]}",served_by="{answer["served_by"]}"'
        self._before: dict[str, float] = {}

    async def read(self) -> dict[str, float]:
        """Return the numbers by kind, those of positions as `click 4-5`."""
        now = {}
        for kind in ("impression", "click", "conversion"):
            now[kind] = await self._service.read_metric(f'nextup_feedback_total{{kind="{kind}",{self._labels}}}')
            for position in ("unknown", "1", "4-5", "21+"):
                name = f'nextup_feedback_positions_total{{kind="{kind}",position="{position}"}}'
                now[f"{kind} {position}"] = await self._service.read_metric(name)
        changes = {name: value - self._before.get(name, 0.0) for name, value in now.items()}
        self._before = now
        return {name: change for name, change in changes.items() if change}


async def make_counts(service: Service, answer: dict[str, Any]) -> Counts:
    counts = Counts(service, answer)
    await counts.read()
    return counts


async def test_feedback_counts_by_kind_version_source_and_position(
    service: Service, new_user: Callable[[], str]
) -> None:
    user = new_user()
    answer = await service.recommend(user_id=user, k=5)
    counts = await make_counts(service, answer)
    event = {"user_id": user, "recommendation_id": answer["recommendation_id"]}
    shown = [
        event | {"item_id": item["item_id"], "type": "impression", "position": position}
        for position, item in enumerate(answer["items"], 1)
    ]
    assert (await send(service, *shown))["ignored"] == 5
    assert await counts.read() == {"impression": 5, "impression 1": 1, "impression 4-5": 2}
    stored = await send(
        service,
        event | {"item_id": "i1", "type": "Click", "position": 1},
        event | {"item_id": "i2", "type": "buy"},
        event | {"item_id": "i3", "type": "rating"},
        {"user_id": user, "item_id": "i5", "type": "click"},
        event | {"item_id": "i4", "type": "click", "recommendation_id": "0" * 32},
    )
    assert stored["stored"] == 5
    assert await counts.read() == {"click": 1, "click 1": 1, "conversion": 1, "conversion unknown": 1}


async def test_result_says_what_an_event_is_as_feedback(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    answer = await service.recommend(user_id=user, k=1)
    named = {"user_id": user, "item_id": "i1", "recommendation_id": answer["recommendation_id"]}
    events = [
        named | {"type": "impression"},
        named | {"type": "click"},
        named | {"type": "impression"},
        {"user_id": user, "item_id": "i1", "type": "impression"},
        named | {"type": "dislike"},
        named | {"type": "impression", "recommendation_id": "0" * 32},
        {"user_id": user, "item_id": "i2", "type": "view"},
    ]
    results = (await send(service, *events))["results"]
    shown, clicked, again, unnamed, disliked, foreign, viewed = results
    counts = {"counted": True, "remembered": True}
    assert (shown["status"], shown["feedback"]) == ("ignored", counts | {"kind": "impression"})
    assert shown["detail"].endswith("it counts as feedback on its recommendation")
    assert (clicked["status"], clicked["feedback"]) == ("stored", counts | {"kind": "click"})
    assert again["feedback"] == shown["feedback"], "counted once, and still counted"
    assert "feedback" not in unnamed
    assert unnamed["detail"].endswith("without recommendation_id it is no feedback either")
    assert "feedback" not in disliked
    assert disliked["detail"].endswith("NEXTUP_HISTORY_TYPES sets the types that are")
    assert (foreign["feedback"]["counted"], "no service with these signing keys" in foreign["detail"]) == (False, True)
    assert "feedback" not in viewed


async def test_feedback_of_synthetic_users_is_stored_and_not_counted(service: Service) -> None:
    synthetic = [make_user_ids(1)[0], "soak-0"]
    answer = await service.recommend(user_id=synthetic[0], k=2)
    counts = await make_counts(service, answer)
    event = {"item_id": answer["items"][0]["item_id"], "recommendation_id": answer["recommendation_id"]}
    events = [event | {"user_id": user, "type": kind} for user in synthetic for kind in ("impression", "click")]
    result = await send(service, *events)
    assert (result["stored"] + result["duplicate"], result["ignored"]) == (2, 2)
    assert {entry["feedback"]["counted"] for entry in result["results"]} == {False}
    assert await counts.read() == {}
    await send(service, event | {"user_id": "a-traffic-0", "type": "click"})
    assert await counts.read() == {"click": 1, "click unknown": 1}


async def test_events_that_are_sent_again_count_once_in_all_workers(
    service: Service, other_worker: Service, new_user: Callable[[], str]
) -> None:
    answer = await service.recommend(user_id=new_user(), k=3)
    counts = await make_counts(service, answer)
    events = [
        {"user_id": "u", "item_id": item["item_id"], "type": kind, "recommendation_id": answer["recommendation_id"]}
        for item in answer["items"]
        for kind in ("impression", "click")
    ]
    await asyncio.gather(*(send(worker, *events, *events) for worker in (service, other_worker) for _ in range(4)))
    assert (await counts.read())["click"] == 3  # both workers of this test share their metrics
    other = await service.recommend(user_id=new_user(), k=3)
    await send(service, *(event | {"recommendation_id": other["recommendation_id"]} for event in events))
    assert await counts.read() == {"impression": 3, "click": 3, "impression unknown": 3, "click unknown": 3}


async def test_marks_of_a_recommendation_are_bounded_and_expire(settings: Settings) -> None:
    async with run_service(settings.with_changes(feedback_window_s=1)) as service:
        answer = await service.recommend(history=[], user_id="nobody", k=1)
        counts = await make_counts(service, answer)
        event = {"user_id": "u", "type": "impression", "recommendation_id": answer["recommendation_id"]}
        for first in range(0, MAX_MARKS + 1000, 1000):
            await send(service, *(event | {"item_id": f"x{number}"} for number in range(first, first + 1000)))
        counted = (await counts.read())["impression"]
        assert MAX_MARKS <= counted < 2 * MAX_MARKS, "within one window, or two of a slow test"
        async with asyncio.timeout(60):
            while not await counts.read():
                await asyncio.sleep(0.2)
                await send(service, event | {"item_id": "x0"})


async def test_feedback_without_redis_is_reported_and_ignored_events_are_answered(settings: Settings) -> None:
    lost = settings.with_changes(redis_url="redis://127.0.0.1:1", redis_timeout_ms=50, durability="everysec")
    async with run_service(lost) as service:
        answer = await service.recommend(history=["i7"], k=2)
        before = await service.read_metric("nextup_feedback_uncounted_total")
        event = {"user_id": "u", "item_id": "i1", "type": "impression"}
        result = await send(service, event | {"recommendation_id": answer["recommendation_id"]})
        assert result["ignored"] == 1
        assert result["results"][0]["feedback"] == {"kind": "impression", "counted": False, "remembered": False}
        assert await service.read_metric("nextup_feedback_uncounted_total") == before + 1


def test_positions_have_few_labels() -> None:
    labels = [find_position_label(position) for position in (None, *range(1, 10_001))]
    assert labels[:12] == ["unknown", "1", "2", "3", "4-5", "4-5", *["6-10"] * 5, "11-20"]
    assert len(set(labels)) == 8


def test_wrong_kinds_are_refused_by_name() -> None:
    for text in ("buy", "buy=sale", "=click", "buy=click,x"):
        with pytest.raises(ValidationError, match=r"feedback_types[\s\S]*must be type=kind"):
            Settings(feedback_types=text)
