"""A history with times in the request is the history that the same events would be in the store."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.recommend.schemas import RecommendRequest
from app.recommend.timed_history import MAX_TIMED_HISTORY, TimedHistory
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.service import Service

START = 1_700_000_000
DAY = 86_400

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["lsan", "blossom"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("timed"), preset=request.param)


async def test_sent_events_get_the_answer_of_stored_events(
    artifact: Path, service_with: Callable[..., AbstractAsyncContextManager[Service]], new_user: Callable[[], str]
) -> None:
    user = new_user()
    events: list[dict[str, Any]] = [
        {"item_id": f"i{1 + n * n % 50}", "timestamp": START + n * n * DAY} for n in (5, 2, 9, 4, 4, 1, 7)
    ]
    events += [{"item_id": "i3", "timestamp": (START + 4 * DAY) * 1000}, {"item_id": "unknown", "timestamp": START}]
    async with service_with(artifact=artifact) as service:
        for event in events:
            await service.http.post("/events", json={"events": [{"user_id": user, **event}]})
        stored = await service.recommend(user_id=user, k=60, exclude_seen=False)
        sent = await service.recommend(history=events, k=60, exclude_seen=False)
        batch = await service.http.post("/recommend/batch", json={"requests": [{"history": events, "k": 60}]})
        without = await service.recommend(history=[event["item_id"] for event in events], k=60, exclude_seen=False)
    assert (sent["items"], sent["history_length"]) == (stored["items"], stored["history_length"])
    assert sent["unknown_items"] == ["unknown"]
    assert len(batch.json()["responses"][0]["items"]) == 60 - len({event["item_id"] for event in events} - {"unknown"})
    assert without["items"] != stored["items"], "a model that reads times answers differently without them"


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6)), min_size=1, max_size=20))
def test_events_are_ordered_by_time_and_count_once(events: list[tuple[int, int]]) -> None:
    entries = [{"item_id": item, "timestamp": START * 1000 + time * 400} for item, time in events]
    history = RecommendRequest.model_validate({"history": entries}).history
    assert isinstance(history, TimedHistory)
    expected = sorted(dict.fromkeys(events), key=lambda event: event[1])
    assert list(history) == [str(item) for item, _ in expected]
    assert history.times.tolist() == [START + time * 400 // 1000 for _, time in expected]


@pytest.mark.parametrize(
    ("history", "field", "detail"),
    [
        ([{"item_id": "a"}], "history.0.timestamp", "Field required"),
        ([{"timestamp": 1}], "history.0.item_id", "Field required"),
        ([{"item": "a", "timestamp": 1}], "history.0.item", "unknown field 'item'; did you mean 'item_id'?"),
        (
            [{"item_id": "a", "timestamp": 1, "type": "buy"}],
            "history.0.type",
            "unknown field 'type'; known fields: item_id, timestamp",
        ),
        ([{"item_id": "a", "timestamp": 1}, "b"], "history.1", "must be an object with item_id and timestamp"),
        (["a", {"item_id": "a", "timestamp": 1}], "history.1", "valid string"),
        ([{"item_id": "", "timestamp": 1}], "history.0.item_id", "1 to 128 characters"),
        ([{"item_id": True, "timestamp": 1}], "history.0.item_id", "1 to 128 characters"),
        ([{"item_id": "a", "timestamp": "noon"}], "history.0.timestamp", "must be a Unix time"),
        ([{"item_id": "a", "timestamp": 4e9}], "history.0.timestamp", "in the future"),
        ([{"item_id": "a", "timestamp": -1e300}], "history.0.timestamp", "out of range"),
        ([{"item_id": "a", "timestamp": -(10**400)}], "history.0.timestamp", "out of range"),
        ([{"item_id": "a", "timestamp": n} for n in range(MAX_TIMED_HISTORY + 1)], "history", "at most 2,000 events"),
    ],
)
async def test_wrong_event_is_named(history: list[Any], field: str, detail: str, service: Service) -> None:
    response = await service.http.post("/recommend", json={"history": history})
    assert response.status_code == 422
    [problem] = response.json()["errors"]
    assert problem["field"] == field
    assert detail in problem["detail"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"item_id": "a"}, "history.500"),
        ({"item_id": "a", "timestamp": 1, "type": "buy"}, "history.500.type"),
        ({"item_id": "", "timestamp": 1}, "history.500.item_id"),
        ({"item_id": "a", "timestamp": [1]}, "history.500.timestamp"),
    ],
)
async def test_wrong_event_of_a_long_body_is_named(wrong: dict[str, Any], field: str, service: Service) -> None:
    history = [*({"item_id": f"i{n}", "timestamp": n} for n in range(500)), wrong]
    response = await service.http.post("/recommend", json={"history": history})
    assert response.status_code == 422
    assert [problem["field"] for problem in response.json()["errors"]] == [field]
