"""A request that names a version is answered by it, or fails with the versions in memory."""

from typing import Any

import pytest

from service_tests.app.experiments.conftest import Versions, split
from service_tests.support.experiments import Trial, poll
from service_tests.support.model_placements import model_process

__all__ = ["model_process"]
pytestmark = pytest.mark.anyio
BODY: dict[str, Any] = {"history": ["i7", "i9"], "k": 5}


async def read_version(trial: Trial, **body: Any) -> str:
    return str((await trial.service.recommend(**BODY | body))["model_version"])


async def test_version_in_memory_answers_and_others_are_refused(trial: Trial, versions: Versions) -> None:
    assert await read_version(trial, version=versions.first) == versions.first
    for version in (versions.second, "", "no-such-version"):
        problem = await trial.call("POST", "/recommend", BODY | {"version": version}, status=409)
        assert problem["type"] == "urn:nextup:problem:version-not-in-memory"
        assert f"in memory: {versions.first}." in problem["detail"]
    await trial.start_shadow(versions.second)
    await trial.call("POST", "/recommend", BODY | {"version": versions.third}, status=409)
    # With a dedicated process, the worker hears of the version a moment after the process has it.
    await poll(lambda: try_version(trial, versions.second), lambda version: version == versions.second)
    assert await read_version(trial) == versions.first
    models = (await trial.call("GET", "/models"))["models"]
    assert {model["version"]: model["ready"] for model in models} == {
        versions.first: True,
        versions.second: True,
        versions.third: False,
    }
    entries = [BODY, BODY | {"version": versions.second}, BODY | {"version": versions.third}]
    answers = (await trial.call("POST", "/recommend/batch", {"requests": entries}))["responses"]
    assert [answer.get("model_version") for answer in answers] == [versions.first, versions.second, None]
    assert answers[2]["status"] == 409


async def try_version(trial: Trial, version: str) -> str | None:
    response = await trial.service.http.post("/recommend", json=BODY | {"version": version})
    return str(response.json()["model_version"]) if response.status_code == 200 else None


async def test_request_with_a_version_is_in_no_experiment(trial: Trial, versions: Versions) -> None:
    await trial.start(split(None, None))
    assert "experiment" in await trial.recommend("ada")
    answer = await trial.recommend("ada", version=versions.first)
    assert ("experiment" in answer, answer["model_version"]) == (False, versions.first)


async def test_version_that_fails_is_not_replaced_by_the_serving_one(trial: Trial, versions: Versions) -> None:
    await trial.start_shadow(versions.second)
    await poll(lambda: try_version(trial, versions.second), lambda version: version == versions.second)
    resident = trial.service.model.engine.residents[versions.second]
    resident.run_batch = lambda queries: [RuntimeError("no memory")] * len(queries)  # type: ignore[method-assign]
    problem = await trial.call("POST", "/recommend", BODY | {"version": versions.second}, status=409)
    assert problem["detail"].startswith(f"version {versions.second!r} did not answer")
