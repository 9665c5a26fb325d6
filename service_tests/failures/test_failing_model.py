"""A model that raises is answered from the ladder, by either path; errors of the request keep their status."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.inference import Query, SimilarQuery, TopItems
from app.inference.servable import Servable
from service_tests.support.artifacts import write_neighbours_artifact
from service_tests.support.model_placements import model_process as model_process
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("body", [{"history": ["i1"], "k": 3}, {"history": [1, "i1"], "k": 3}])
async def test_failing_model_is_answered_with_popular_items(
    body: dict[str, Any], service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of the ordinary")

    expected = [item["item_id"] for item in (await service.recommend(user_id="unheard", k=4))["items"]]
    monkeypatch.setattr(Servable, "run_batch", fail)
    answer = await service.recommend(**body)
    assert (answer["served_by"], answer["reason"]) == ("popularity", "model_unavailable")
    assert [item["item_id"] for item in answer["items"]] == [item for item in expected if item != "i1"][:3]
    assert "out of the ordinary" in caplog.text
    response = await service.http.post("/recommend", json=body, headers={"X-Request-Deadline-Ms": "10000"})
    assert response.status_code == 200
    response = await service.http.post("/recommend", json={**body, "k": 1000})
    assert response.status_code == 422


async def test_model_that_raises_is_not_queried_until_a_probe_succeeds(
    service: Service, monkeypatch: pytest.MonkeyPatch, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await service.post_events(user, "i7", "i8")
    expected = await service.recommend(user_id=user)
    calls, is_failing = 0, True
    run_batch = Servable.run_batch

    def fail_at_first(servable: Servable, queries: Sequence[Query | SimilarQuery]) -> list[TopItems | Exception]:
        nonlocal calls
        calls += 1
        if is_failing:
            raise RuntimeError("out of the ordinary")
        return run_batch(servable, queries)

    monkeypatch.setattr(Servable, "run_batch", fail_at_first)
    state = 'nextup_circuit_state{circuit="model"}'
    failures = 'nextup_model_failures_total{kind="error"}'
    before = await service.read_metric(failures)
    for number in range(60):
        answer = await service.recommend(user_id=user)
        assert (answer["served_by"], answer["reason"]) == ("cache", "model_unavailable"), number
        assert answer["items"] == expected["items"]
    own_write = await service.recommend(user_id=user, min_history_version=2)
    assert own_write["served_by"] in ("neighbours", "popularity"), "a cached answer may rest on an older history"
    assert await service.read_metric(state) > 0
    assert await service.read_metric(failures) - before >= 5
    assert calls < 40, "an open circuit does not call the model"
    similar = await service.http.post("/similar", json={"item_id": "i1"})
    assert (similar.status_code, similar.json()["title"]) == (503, "Model unavailable")

    is_failing = False
    async with asyncio.timeout(30):
        while (answer := await service.recommend(user_id=user))["served_by"] != "model":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    # The probe may be in the same batch, which rounds scores in another order.
    assert [item["item_id"] for item in answer["items"]] == [item["item_id"] for item in expected["items"]]
    assert [item["score"] for item in answer["items"]] == pytest.approx([item["score"] for item in expected["items"]])
    assert await service.read_metric(state) == 0


async def test_neighbours_of_the_history_are_served_without_a_model(
    service_with: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, new_user: Callable[[], str]
) -> None:
    async with service_with(artifact=write_neighbours_artifact(tmp_path / "neighbours")) as service:
        user = new_user()
        await service.post_events(user, "i3", "i20")

        def fail(*_: object) -> None:
            raise RuntimeError("out of the ordinary")

        monkeypatch.setattr(Servable, "run_batch", fail)
        for body in ({"user_id": user}, {"history": ["i3", "i20"]}):
            answer = await service.recommend(**body, k=7)
            assert (answer["served_by"], answer["reason"]) == ("neighbours", "model_unavailable")
            assert answer["items"][0]["item_id"] == "i21"
            assert len(answer["items"]) == 7
            assert not {"i3", "i20"} & {item["item_id"] for item in answer["items"]}
        answer = await service.recommend(user_id=user, categories=["low"], exclude=["i4"], k=2)
        assert [item["item_id"] for item in answer["items"]] == ["i5", "i6"]
