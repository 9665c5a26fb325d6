"""The model receives the times of retained, known events; ids in a request have no times."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.artifact import load_artifact
from models.batch import NO_TIME
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio

START = 1_699_920_000  # midnight


@pytest.fixture(scope="module", params=["lsan", "blossom"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("timed"), preset=request.param)


def get_scores(answer: dict[str, Any]) -> dict[str, float]:
    return {item["item_id"]: item["score"] for item in answer["items"]}


async def test_stored_history_scores_equal_the_predictor_with_event_times(
    artifact: Path,
    service_with: Callable[..., AbstractAsyncContextManager[Service]],
    new_user: Callable[[], str],
) -> None:
    rng = np.random.default_rng(0)
    items, hours = rng.integers(1, 61, 30), rng.integers(0, 24, 30)
    times = (START + 86_400 * np.arange(30) + 3600 * hours + 59).astype(np.uint32)
    user, anonymous = new_user(), new_user()
    events = [
        {
            "user_id": user if index % 3 else anonymous,
            "item_id": "unknown" if index % 7 == 0 else f"i{items[index]}",
            "timestamp": int(times[index]),
        }
        for index in range(30)
    ]
    async with service_with(artifact=artifact, history_max_events=25) as service:
        for index in rng.permutation(30).tolist():  # out of order, and the oldest five are trimmed
            await service.http.post("/events", json={"events": [events[index]]})
        await service.http.post(f"/users/{user}/merge", json={"from": anonymous})
        stored = await service.recommend(user_id=user, k=60, exclude_seen=False)
        retained = (await service.http.get(f"/users/{user}/history")).json()["events"]
        from_request = await service.recommend(
            history=[event["item_id"] for event in retained], k=60, exclude_seen=False
        )
    positions = [index for index in range(30) if index >= 5 and index % 7]
    assert [event["item_id"] for event in retained if event["item_id"] != "unknown"] == [
        f"i{items[n]}" for n in positions
    ]
    predictor = load_artifact(artifact, device="cpu").predictor
    now = np.array([int(time.time())], dtype=np.uint32)
    for answer, answer_times in (
        (stored, times[positions]),
        (from_request, np.full(len(positions), NO_TIME, dtype=np.uint32)),
    ):
        top = predictor.top_k([items[positions]], 60, times=[answer_times], request_times=now)
        expected = {f"i{n}": score for n, score in zip(top.indices[0].tolist(), top.scores[0].tolist(), strict=True)}
        assert get_scores(answer) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert get_scores(stored) != pytest.approx(get_scores(from_request), rel=1e-2, abs=1e-2)
