"""`nextup recommend` and `nextup similar`: the same answers from a service and from an artifact."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.commands.main import main
from service_tests.support.nextup_process import RunningService, find_free_port, run_service

pytestmark = pytest.mark.process
HISTORY = ["i3", "i1", "i4"]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("NEXTUP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXTUP_DATA_DIR", str(tmp_path / "var"))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("var")


@pytest.fixture(scope="module")
def running(tiny_artifact: Path, data_dir: Path) -> Iterator[RunningService]:
    with run_service(data_dir, "--artifact", str(tiny_artifact)) as service:
        events = [{"user_id": "ada", "item_id": item, "timestamp": 1_700_000_000 + n} for n, item in enumerate(HISTORY)]
        assert httpx.post(f"{service.url}/events", json={"events": events}, timeout=60).status_code == 202
        yield service


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], str]:
    assert main([*words, "--json"]) == 0
    output = capsys.readouterr()
    assert output.out.count("\n") == 1
    return json.loads(output.out), output.err


@pytest.mark.parametrize(
    "words",
    [
        ("recommend", "ada", "--k", "7"),
        ("recommend", "--history", "i9,i2"),
        ("recommend", "ada", "--include-seen", "--categories", "low", "--exclude", "i5,i6"),
        ("recommend", "eve"),
        ("recommend", "eve", "--explain"),
        ("similar", "i3"),
        ("similar", "i3", "--categories", "low,even", "--exclude", "i8", "--k", "4"),
    ],
)
def test_service_and_artifact_answer_alike(
    words: tuple[str, ...],
    running: RunningService,
    tiny_artifact: Path,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NEXTUP_DATA_DIR", str(data_dir))
    remote, _ = run_json(capsys, *words, "--url", running.url)
    direct, _ = run_json(capsys, *words, "--artifact", str(tiny_artifact))
    assert direct.items() <= remote.items() or _differ_only_in_rounding(direct, remote)


def _differ_only_in_rounding(direct: dict[str, Any], remote: dict[str, Any]) -> bool:
    scores = [[item.pop("score") for item in answer["items"]] for answer in (direct, remote)]
    return direct.items() <= remote.items() and scores[0] == pytest.approx(scores[1], rel=1e-4)


def test_explained_answers_of_service_and_artifact_are_alike(
    running: RunningService, tiny_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("recommend", "--history", "i9,i2,i5", "--explain")
    answers = [
        run_json(capsys, *words, *source)[0] for source in (("--url", running.url), ("--artifact", str(tiny_artifact)))
    ]
    reasons = [[[(r["item_id"], r["weight"]) for r in i["because"]] for i in answer["items"]] for answer in answers]
    assert reasons[0] == [[(item, pytest.approx(weight, rel=1e-2)) for item, weight in row] for row in reasons[1]]
    assert main([*words, "--url", running.url]) == 0
    head, first = capsys.readouterr().out.splitlines()[1:3]
    assert head.split()[-1] == "because"
    assert first.rstrip().endswith("%")


def test_table_names_titles_and_categories(running: RunningService, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "ada", "--k", "3", "--url", running.url]) == 0
    summary, head, first, *_ = capsys.readouterr().out.splitlines()
    assert summary.startswith("for user ada with 3 events, version ")
    assert head.split() == ["rank", "item", "score", "title", "categories"]
    assert first.split()[3:6:2] == ["Item", first.split()[1].removeprefix("i")]


def test_port_of_the_environment_is_the_default(
    running: RunningService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTUP_PORT", running.url.rpartition(":")[2])
    answer, notes = run_json(capsys, "recommend", "eve")
    assert answer["reason"] == "unknown_user"
    assert "the user has no stored history, so these are popular items" in notes


def test_unix_socket_of_the_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTUP_UNIX_SOCKET", str(tmp_path / "socket"))
    assert main(["similar", "i3"]) == 1
    assert f"no service answers at unix:{tmp_path}/socket" in capsys.readouterr().err


def test_mistakes_name_the_cause(
    running: RunningService, tiny_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = f"http://127.0.0.1:{find_free_port()}"
    for words, message in (
        (["recommend"], "USER or --history is required"),
        (["recommend", "ada", "--url", free], f"no service answers at {free}; start one"),
        (["recommend", "ada", "--url", "shop"], "--url must be a base URL"),
        (["recommend", "ada", "--k", "500", "--url", running.url], "rejected the request: 422 k: must be at most 100"),
        (["recommend", "ada", "--k", "0"], "--k must be between 1 and 1,000 (got 0)"),
        (["recommend", "ada", "--artifact", str(tmp_path)], "holds no artifact"),
        (["similar", "none", "--url", running.url], "the catalogue has no item 'none'"),
        (["similar", "none", "--artifact", str(tiny_artifact)], "the catalogue has no item 'none'"),
    ):
        assert main(words) == 1, words
        errors = capsys.readouterr().err
        assert message in errors
        assert errors.count("\n") == 1
