"""Two versions answer shares of the users, in both placements of the model, until one of them is activated."""

from collections import Counter

import pytest

from app.settings import Settings
from service_tests.app.experiments.conftest import Versions, split
from service_tests.support.experiments import Trial, poll
from service_tests.support.model_placements import model_process
from service_tests.support.service import run_service
from service_tests.support.versions import corrupt_byte

__all__ = ["model_process"]
pytestmark = pytest.mark.anyio
USERS = [f"user-{number}" for number in range(40)]


async def test_versions_answer_their_users_and_the_winner_is_activated(trial: Trial, versions: Versions) -> None:
    started = await trial.start(split(versions.first, versions.second))
    assert (started["phase"], started["clicks"]["status"]) == ("running", "too_little_data")
    assert "answers were shown, 400 are needed" in started["clicks"]["detail"]
    expected = {"control": versions.first, "new": versions.second}
    answers = [await trial.recommend(user) for user in USERS]
    for user, answer in zip(USERS, answers, strict=True):
        experiment = answer["experiment"]
        assert (experiment["name"], experiment["served"]) == ("home", True)
        assert answer["model_version"] == expected[experiment["variant"]]
        assert (await trial.recommend(user))["items"] == answer["items"], "the same variant again"
    assert set(Counter(answer["experiment"]["variant"] for answer in answers)) == {"control", "new"}
    assert "experiment" not in await trial.service.recommend(history=["i7"]), "without a user"
    for answer in answers:
        await trial.send(answer, "impression")
    await trial.send(next(answer for answer in answers if answer["experiment"]["variant"] == "new"), "click", "buy")
    figures = {entry["name"]: entry for entry in (await trial.call("GET", "/experiments/home"))["figures"]}
    assert sum(entry["answers_shown"] for entry in figures.values()) == len(USERS)
    assert [(figures[name]["answers_clicked"], figures[name]["answers_converted"]) for name in expected] == [
        (0, 0),
        (1, 1),
    ]
    sample = 'nextup_experiment_feedback_total{experiment="home",kind="click",variant="new"}'
    assert await trial.service.read_metric(sample) >= 1

    undecided = await trial.call("POST", "/experiments/home/conclude", {}, status=409)
    assert "are needed; wait, or name the winner" in undecided["detail"]
    concluded = await trial.call("POST", "/experiments/home/conclude", {"winner": "new"})
    assert (concluded["phase"], concluded["winner"]) == ("concluded", "new")
    models = await trial.call("GET", "/models")
    assert (models["active"], models["target_version"]) == (versions.second, versions.second)
    answer = await trial.recommend(USERS[0])
    assert (answer["model_version"], answer.get("experiment")) == (versions.second, None)
    (listed,) = (await trial.call("GET", "/experiments"))["experiments"]
    assert listed["winner"] == "new"


async def test_version_that_cannot_be_loaded_is_answered_by_the_serving_one(trial: Trial, versions: Versions) -> None:
    corrupt_byte(versions.folder / versions.second)
    await trial.call("PUT", "/experiments/home", split(versions.first, versions.second))
    state = await trial.poll(
        "/experiments/home", lambda state: "model.safetensors" in (state["variants"][1]["problem"] or "")
    )
    assert [variant["ready"] for variant in state["variants"]] == [True, False]
    for user in USERS:
        answer = await trial.recommend(user)
        assert answer["model_version"] == versions.first
        assert answer["experiment"]["served"] == (answer["experiment"]["variant"] == "control")
        await trial.send(answer, "impression", "click")
    control, new = (await trial.call("GET", "/experiments/home"))["figures"]
    assert 0 < control["answers_shown"] == control["answers_clicked"]
    assert new["answers_shown"] == new["answers_clicked"] == 0, "answers of the serving version are not the variant's"


async def test_every_worker_follows_and_removal_ends_the_experiment(
    trial: Trial, settings: Settings, versions: Versions
) -> None:
    if settings.model_process == "dedicated":
        settings = settings.with_changes(model_socket=settings.data_dir / "other.sock")
    async with run_service(settings.with_changes(artifact=versions.folder)) as service:
        other = Trial(service)
        await trial.start(split(None, versions.second))
        await poll(
            lambda: list_answering_versions(other), lambda answering: answering == {versions.first, versions.second}
        )
        answers = [(await trial.recommend(user), await other.recommend(user)) for user in USERS]
        assert all(first["experiment"] == second["experiment"] for first, second in answers)
        await other.call("DELETE", "/experiments/home")
        await other.call("GET", "/experiments/home", status=404)
        await poll(lambda: trial.recommend(USERS[0]), lambda answer: "experiment" not in answer)
        await trial.wait_for_release()


async def list_answering_versions(trial: Trial) -> set[str]:
    return {(await trial.recommend(user))["model_version"] for user in USERS}


async def test_failing_model_of_a_variant_is_replaced_by_the_serving_one(trial: Trial, versions: Versions) -> None:
    await trial.start(split(versions.first, versions.second))
    resident = trial.service.model.engine.residents[versions.second]
    resident.run_batch = lambda queries: [RuntimeError("no memory") for _ in queries]  # type: ignore[method-assign]
    variants = set()
    for user in USERS:
        answer = await trial.recommend(user)
        assert (answer["served_by"], answer["model_version"]) == ("model", versions.first)
        assert answer["experiment"]["served"] == (answer["experiment"]["variant"] == "control")
        variants.add(answer["experiment"]["variant"])
    assert variants == {"control", "new"}
    assert await trial.service.read_metric("nextup_resident_failures_total") > 0
