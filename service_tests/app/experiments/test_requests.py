"""Experiments that cannot start or change are refused: the error names the field or the conflict, nothing changes."""

from typing import Any

import pytest

from app.settings import Settings
from service_tests.app.experiments.conftest import Versions, split
from service_tests.support.experiments import Trial
from service_tests.support.service import run_service
from service_tests.support.versions import corrupt_byte

pytestmark = pytest.mark.anyio
PATH = "/experiments/home"


def replace_variant(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    first, second = body["variants"]
    return {"variants": [first, second | changes]}


async def test_wrong_fields_are_named_and_nothing_is_stored(trial: Trial, versions: Versions) -> None:
    valid = split(None, versions.second)
    cases: list[tuple[Any, str, str]] = [
        ({"variants": valid["variants"][:1]}, "variants", "at least 2"),
        ({"variants": valid["variants"] * 3}, "variants", "at most 4"),
        (replace_variant(valid, name="control"), "variants.1.name", "is that of another variant: control"),
        (replace_variant(valid, name="New!"), "variants.1.name", "pattern"),
        (replace_variant(valid, name="n" * 17), "variants.1.name", "at most 16"),
        (replace_variant(valid, share=0), "variants.1.share", "greater than 0"),
        (replace_variant(valid, share=0.6), "variants", "shares must be at most 1 together (got 1.1)"),
        (replace_variant(valid, version="v9"), "variants.1.version", "there is no version 'v9'; GET /models lists all"),
        (valid | {"seed": 1}, "seed", "unknown field 'seed'"),
    ]
    for body, field, reason in cases:
        problem = await trial.call("PUT", PATH, body, status=422)
        assert problem["errors"][0]["field"] == field, problem
        assert reason in problem["errors"][0]["detail"]
    for name in ("Home", "h" * 33, "a b", "@shadow"):
        problem = await trial.call("PUT", f"/experiments/{name}", valid, status=422)
        assert problem["errors"][0]["field"] == "name"
    assert await trial.call("GET", "/experiments") == {"experiments": []}


async def test_unknown_experiments_are_not_found(trial: Trial) -> None:
    for method, path, body in (("GET", PATH, None), ("DELETE", PATH, None), ("POST", f"{PATH}/conclude", {})):
        problem = await trial.call(method, path, body, status=404)
        assert "there is no experiment 'home'; GET /experiments lists all" in problem["detail"]


async def test_running_experiment_accepts_only_further_variants(trial: Trial, versions: Versions) -> None:
    body = split(None, versions.second, share=0.4)
    started = await trial.start(body)
    assert (await trial.call("PUT", PATH, body))["started_at"] == started["started_at"], "the same call again"
    changed = replace_variant(body, share=0.5)
    problem = await trial.call("PUT", PATH, changed, status=409)
    assert (problem["type"], problem["title"]) == ("urn:nextup:problem:experiment-conflict", "Experiment conflict")
    assert "users would change their variant" in problem["detail"]
    problem = await trial.call("PUT", "/experiments/other", body, status=409)
    assert "experiment home runs; conclude or delete it first" in problem["detail"]
    users = [f"user-{number}" for number in range(60)]
    before = [(await trial.recommend(user)).get("experiment") for user in users]
    await trial.start({"variants": [*body["variants"], {"name": "third", "share": 0.2}]})
    after = [(await trial.recommend(user)).get("experiment") for user in users]
    assert None in before
    assert all(then in (now, None) for then, now in zip(before, after, strict=True))
    assert {now["variant"] for then, now in zip(before, after, strict=True) if now and not then} == {"third"}
    problem = await trial.call("POST", f"{PATH}/conclude", {"winner": "fourth"}, status=422)
    assert "winner: is no variant of home; variants are control, new, third" in problem["detail"]
    await trial.call("POST", f"{PATH}/conclude", {"winner": "control"})
    assert (await trial.call("GET", "/models"))["active"] == versions.first, "the serving version is the winner"
    for method, path, request in (("PUT", PATH, body), ("POST", f"{PATH}/conclude", {"winner": "new"})):
        assert "has ended" in (await trial.call(method, path, request, status=409))["detail"]
    await trial.call("DELETE", PATH)
    await trial.start(split(None, versions.second))


async def test_other_workers_switch_to_the_winner_without_loading_it(
    trial: Trial, settings: Settings, versions: Versions
) -> None:
    async with run_service(settings.with_changes(artifact=versions.folder)) as service:
        other = Trial(service)
        await trial.start(split(None, versions.second))
        await other.poll(PATH, lambda state: bool(state["variants"][1]["ready"]))
        resident = service.model.engine.residents[versions.second]
        await trial.call("POST", f"{PATH}/conclude", {"winner": "new"})
        await other.poll("/models", lambda models: models["active"] == versions.second)
        assert service.model.engine.servable is resident
        await other.wait_for_release()


async def test_versions_in_memory_are_bounded(trial: Trial, versions: Versions) -> None:
    body = split(versions.second, versions.third, share=0.2)
    await trial.start(body)
    assert set(trial.service.model.engine.residents) == {versions.second, versions.third}
    await trial.call("DELETE", PATH)
    body["variants"].append({"name": "fourth", "share": 0.1, "version": versions.first})
    await trial.start(body)  # the serving version takes no further memory


async def test_variants_that_are_added_obey_the_bound(trial: Trial, versions: Versions) -> None:
    body = split(None, versions.second, share=0.4)
    await trial.start(body)
    await trial.start_shadow(versions.third)
    assert (await trial.call("PUT", PATH, body))["phase"] == "running", "the same call again"
    more = {"variants": [*body["variants"], {"name": "third", "share": 0.1, "version": versions.third}]}
    problem = await trial.call("PUT", PATH, more, status=409)
    assert f"version {versions.third} cannot be the shadow and a variant at the same time" in problem["detail"]
    assert len((await trial.call("GET", PATH))["variants"]) == 2


async def test_rejected_winner_leaves_the_experiment_running(trial: Trial, versions: Versions) -> None:
    corrupt_byte(versions.folder / versions.second)
    await trial.call("PUT", PATH, split(None, versions.second))
    response = await trial.service.http.post(f"{PATH}/conclude", json={"winner": "new"})
    while response.headers.get("retry-after"):  # the version is just being loaded for the experiment
        response = await trial.service.http.post(f"{PATH}/conclude", json={"winner": "new"})
    assert (response.status_code, response.json()["title"]) == (409, "Artifact rejected")
    assert (await trial.call("GET", PATH))["phase"] == "running"
    assert (await trial.call("GET", "/models"))["target_version"] == versions.first
