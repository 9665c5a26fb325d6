"""A shadow version answers requests in the background, in both placements of the model, and no caller notices."""

from functools import partial
from operator import lt

import numpy as np
import pytest

from app.inference.query import Query, TopItems
from models.catalogue.item_key import item_keys
from service_tests.app.experiments.conftest import Versions
from service_tests.support.experiments import Trial, poll
from service_tests.support.model_placements import model_process

__all__ = ["model_process"]
pytestmark = pytest.mark.anyio
ANSWERS = 'nextup_shadow_answers_total{result="ok"}'
ITEMS = [f"i{number}" for number in range(1, 9)]


async def test_answers_are_compared_with_those_that_were_sent(trial: Trial, versions: Versions) -> None:
    path = await trial.start_shadow(versions.second)
    for item in ITEMS:
        num_before = await trial.service.read_metric(ANSWERS)
        answer = await trial.service.recommend(history=[item], k=10)
        assert answer["model_version"] == versions.first
        await poll(lambda: trial.service.read_metric(ANSWERS), partial(lt, num_before))
    results = await trial.poll(path, lambda results: results["queries"] == len(ITEMS))
    assert results["overlap"] == pytest.approx(compute_overlap(trial, versions.second), abs=1e-4)
    assert (results["errors"], results["running"], results["problem"]) == (0, True, None)
    assert results["candidate_ms"] > 0
    assert results["score_difference"] > 0
    await trial.call("DELETE", path)
    await trial.call("GET", path, status=404)
    await trial.wait_for_release()


def compute_overlap(trial: Trial, version: str) -> float:
    engine = trial.service.model.engine
    overlaps = []
    for item in ITEMS:
        query = Query(history=item_keys([item]), k=10)
        answers = [servable.run_batch([query])[0] for servable in (engine.servable, engine.residents[version])]
        first, second = [set(answer.item_ids) for answer in answers if isinstance(answer, TopItems)]
        overlaps.append(len(first & second) / len(first))
    return float(np.mean(overlaps))


async def test_answers_under_rules_are_compared_although_their_scores_rise(trial: Trial, versions: Versions) -> None:
    path = await trial.start_shadow(versions.second)
    last = (await trial.service.recommend(history=["i1"], k=60))["items"][-1]["item_id"]
    await trial.call("PUT", "/items", {"items": [{"item_id": last, "attributes": {"brand": "b"}}]})
    promote = [{"filter": {"attribute": "brand", "eq": "b"}, "positions": [1]}]
    await poll(
        lambda: trial.service.recommend(history=["i1"], k=5, promote=promote),
        lambda answer: bool(answer["items"][0]["item_id"] == last),
    )
    results = await trial.poll(path, lambda results: results["queries"] >= 2)
    assert (results["errors"], results["problem"]) == (0, None)


async def test_shadow_that_fails_is_counted_and_harms_no_answer(trial: Trial, versions: Versions) -> None:
    path = await trial.start_shadow(versions.second)
    shadow = trial.service.model.engine.residents[versions.second]
    shadow.measure = lambda *_: (RuntimeError("no memory"), 0.1)  # type: ignore[method-assign]
    answer = await trial.service.recommend(history=["i1"])
    assert (answer["served_by"], answer["model_version"]) == ("model", versions.first)
    results = await trial.poll(path, lambda results: results["errors"] == 1)
    assert (results["queries"], results["overlap"]) == (1, None)
