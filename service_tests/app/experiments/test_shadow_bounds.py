"""What a shadow version gets is bounded, and one that cannot answer is refused or says why."""

import asyncio

import pytest

from app.inference.query import Query
from app.model_server.shadow import MAX_PENDING
from models.catalogue.item_key import item_keys
from service_tests.app.experiments.conftest import Versions, split
from service_tests.support.experiments import TIMEOUT_S, WHOLE_SHARE, Trial
from service_tests.support.versions import corrupt_byte

pytestmark = pytest.mark.anyio
ANSWERS = 'nextup_shadow_answers_total{result="ok"}'


async def test_share_and_time_bound_what_the_shadow_answers(trial: Trial, versions: Versions) -> None:
    path = await trial.start_shadow(versions.second, share=1e-9)
    for _ in range(20):
        await trial.service.recommend(history=["i1"])
    assert (await trial.call("GET", path))["queries"] == 0
    await trial.call("PUT", path, WHOLE_SHARE | {"seconds": 1})
    await trial.poll(path, lambda results: not results["running"])
    await trial.wait_for_release()
    before = await trial.service.read_metric(ANSWERS)
    await trial.service.recommend(history=["i1"])
    assert await trial.service.read_metric(ANSWERS) == before


async def test_queries_are_dropped_while_requests_wait_or_too_many_are_pending(
    trial: Trial, versions: Versions
) -> None:
    path = await trial.start_shadow(versions.second)
    engine = trial.service.model.engine
    on_answer, top = engine.on_answer, await engine.find_top_items(make_query(), get_deadline())
    assert on_answer is not None
    await trial.poll(path, lambda results: results["queries"] == 1)
    for _ in range(MAX_PENDING + 3):
        on_answer(make_query(), top)  # in one step of the event loop, so that none of them can finish
    results = await trial.poll(path, lambda results: results["queries"] == 1 + MAX_PENDING)
    assert results["dropped"] == 3
    engine.on_answer = None
    with engine.block_thread():
        waiting = [asyncio.create_task(engine.find_top_items(make_query(), get_deadline())) for _ in range(40)]
        await asyncio.sleep(0)
        assert engine.queue_depth > 0
        on_answer(make_query(), top)
    await asyncio.gather(*waiting)
    results = await trial.poll(path, lambda results: results["dropped"] == 4)
    assert results["queries"] == 1 + MAX_PENDING


def make_query() -> Query:
    return Query(history=item_keys(["i7"]), k=10)


def get_deadline() -> float:
    return asyncio.get_running_loop().time() + TIMEOUT_S


async def test_version_that_cannot_be_a_shadow_is_refused(trial: Trial, versions: Versions) -> None:
    problem = await trial.call("PUT", f"/models/{versions.first}/shadow", WHOLE_SHARE, status=422)
    assert f"version: is the serving version {versions.first}" in problem["detail"]
    assert (
        "there is no version 'v9'" in (await trial.call("PUT", "/models/v9/shadow", WHOLE_SHARE, status=404))["detail"]
    )
    for field, value in (("share", 0), ("share", 1.5), ("seconds", 0), ("seconds", 86_401)):
        problem = await trial.call("PUT", f"/models/{versions.second}/shadow", WHOLE_SHARE | {field: value}, status=422)
        assert problem["errors"][0]["field"] == field
    await trial.call("PUT", f"/models/{versions.second}/shadow", WHOLE_SHARE)
    problem = await trial.call("PUT", f"/models/{versions.third}/shadow", WHOLE_SHARE, status=409)
    assert f"version {versions.second} is the shadow version until its time ends" in problem["detail"]
    problem = await trial.call("PUT", "/experiments/home", split(None, versions.second), status=409)
    assert "cannot be the shadow and a variant at the same time" in problem["detail"]
    await trial.call("PUT", "/experiments/home", split(None, versions.third))
    await trial.call("DELETE", f"/models/{versions.second}/shadow")
    problem = await trial.call("PUT", f"/models/{versions.third}/shadow", WHOLE_SHARE, status=409)
    assert "cannot be the shadow and a variant" in problem["detail"]


async def test_broken_shadow_says_why_it_does_not_answer(trial: Trial, versions: Versions) -> None:
    corrupt_byte(versions.folder / versions.second)
    path = f"/models/{versions.second}/shadow"
    await trial.call("PUT", path, WHOLE_SHARE)
    await trial.poll(path, lambda results: "model.safetensors" in (results["problem"] or ""))
