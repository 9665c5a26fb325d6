"""Variants with the settings of another placement: on requests for the experiment's placement, until one is kept."""

from typing import Any

import pytest

from service_tests.app.experiments.conftest import Versions
from service_tests.support.experiments import Trial, poll

pytestmark = pytest.mark.anyio
PATH = "/experiments/home"
USERS = [f"user-{number}" for number in range(30)]
BODY: dict[str, Any] = {
    "placement": "start",
    "variants": [{"name": "control", "share": 0.5}, {"name": "short", "share": 0.5, "placement": "short-start"}],
}
SIZES = {"control": 6, "short": 3}


async def put_placements(trial: Trial) -> None:
    for name, k in (("start", SIZES["control"]), ("short-start", SIZES["short"])):
        await trial.call("PUT", f"/placements/{name}", {"k": k})


async def ask(trial: Trial, user: str, **body: Any) -> dict[str, Any]:
    return await trial.service.recommend(user_id=user, history=["i7", "i9"], placement="start", **body)


async def test_settings_answer_their_users_and_those_of_the_winner_are_kept(trial: Trial, versions: Versions) -> None:
    await put_placements(trial)
    started = await trial.call("PUT", PATH, BODY)
    assert (started["placement"], [variant["ready"] for variant in started["variants"]]) == ("start", [True, True])
    answers = {user: await ask(trial, user, paginate=True) for user in USERS}
    assert {answer["experiment"]["variant"] for answer in answers.values()} == set(SIZES)
    for user, answer in answers.items():
        variant = answer["experiment"]["variant"]
        assert (len(answer["items"]), answer["experiment"]["served"]) == (SIZES[variant], True)
        page = await trial.service.recommend(history=["i7", "i9"], cursor=answer["next_cursor"])
        assert (page["experiment"]["variant"], len(page["items"])) == (variant, SIZES[variant])
        assert len((await ask(trial, user, k=2))["items"]) == 2, "fields of the request take precedence"
        assert "experiment" not in await trial.recommend(user), "without the placement"
    await trial.send(answers[USERS[0]], "impression")
    figures = (await trial.call("GET", PATH))["figures"]
    assert sum(entry["answers_shown"] for entry in figures) == 1
    await trial.call("POST", f"{PATH}/conclude", {"winner": "short"})
    assert (await trial.call("GET", "/placements/start"))["settings"]["k"] == SIZES["short"]
    assert {len((await ask(trial, user))["items"]) for user in USERS} == {SIZES["short"]}
    assert (await trial.call("GET", "/models"))["active"] == versions.first


async def test_settings_that_were_removed_are_replaced_by_those_of_the_placement(trial: Trial) -> None:
    await put_placements(trial)
    await trial.call("PUT", PATH, BODY)
    await trial.call("DELETE", "/placements/short-start")
    answers = {user: await ask(trial, user) for user in USERS}
    user = next(user for user, answer in answers.items() if answer["experiment"]["variant"] == "short")
    answer = await poll(lambda: ask(trial, user), lambda answer: not answer["experiment"]["served"])
    assert len(answer["items"]) == SIZES["control"]
    problem = await trial.call("POST", f"{PATH}/conclude", {"winner": "short"}, status=409)
    assert "placement short-start was removed" in problem["detail"]
    assert (await trial.call("GET", PATH))["phase"] == "running"


async def test_winner_whose_settings_were_removed_changes_no_version(trial: Trial, versions: Versions) -> None:
    await put_placements(trial)
    body = {**BODY, "variants": [BODY["variants"][0], {**BODY["variants"][1], "version": versions.second}]}
    await trial.call("PUT", PATH, body)
    await trial.call("DELETE", "/placements/short-start")
    problem = await trial.call("POST", f"{PATH}/conclude", {"winner": "short"}, status=409)
    assert "placement short-start was removed" in problem["detail"]
    assert (await trial.call("GET", "/models"))["target_version"] == versions.first


async def test_wrong_placements_are_named(trial: Trial) -> None:
    await put_placements(trial)
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"placement": "nowhere"}, "placement", "there is no placement 'nowhere'; GET /placements lists all"),
        ({"placement": None}, "variants.1.placement", "needs the placement that it replaces: set `placement`"),
        ({"placement": "a b"}, "placement", "pattern"),
        (
            {"variants": [BODY["variants"][0], BODY["variants"][1] | {"placement": "other"}]},
            "variants.1.placement",
            "there is no placement 'other'",
        ),
    ]
    for changes, field, reason in cases:
        problem = await trial.call("PUT", PATH, BODY | changes, status=422)
        assert problem["errors"][0]["field"] == field, problem
        assert reason in problem["errors"][0]["detail"]
    await trial.call("PUT", PATH, BODY)
    problem = await trial.call("PUT", PATH, BODY | {"placement": "short-start"}, status=409)
    assert "users would change their variant" in problem["detail"]
