"""`nextup plan` as it is typed."""

import json
import os

import pytest

from app.commands.main import main


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("NEXTUP_")]:
        monkeypatch.delenv(name)


@pytest.mark.slow
def test_a_forecast_is_a_table_and_one_line_of_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--items", "10M", "--users", "1m", "--rate", "100", "--workers", "3"]) == 0
    *table, last = capsys.readouterr().out.strip().splitlines()
    found = json.loads(last)
    assert found["asked"]["items"] == 10_000_000
    assert found["artifact"]["bytes"] == sum(found["artifact"]["files"].values())
    resident, worker = found["resident"], found["worker"]
    assert resident["bytes"] == resident["own"] + resident["mapped"]
    assert resident["own"] > 3 * worker["own"], "three workers and who watches them"
    assert 800e6 < found["artifact"]["bytes"] < 830e6
    assert found["rate"]["workers"] > 1
    assert found["device"] is None
    assert found["not_measured"] == []
    told = "\n".join(table)
    for name in ("artifact on disk", "one worker, resident", "3 workers, resident", "Redis, written at once"):
        assert name in told


@pytest.mark.slow
def test_what_was_never_measured_is_said_and_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--items", "2m", "--device", "cuda", "--rate", "100"]) == 0
    told, last = capsys.readouterr().out.rstrip().rsplit("\n", 1)
    found = json.loads(last)
    assert found["rate"] is None
    assert [text.split()[0] for text in found["not_measured"]] == ["requests", "what"]
    assert "not measured: requests per second on cuda" in told
    weights, file = found["device"]["weights"], found["artifact"]["files"]["model.safetensors"]
    assert weights < file < 1.01 * weights


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--items", "many"], "--items is 'many'"),
        (["--items", "63"], "--items is 63; from 64"),
        (["--items", "1k", "--users", "0"], "--users is 0"),
        (["--items", "1k", "--length", "2k"], "NEXTUP_HISTORY_MAX_EVENTS"),
        (["--items", "1k", "--preset", "none"], "no preset is called 'none'"),
        (["--items", "1k", "--workers", "0"], "--workers is 0"),
        (["--items", "1k", "--rate", "nan"], "--rate is nan"),
        (["--items", "1k", "--id-bytes", "0"], "--id-bytes is 0"),
        (["--items", "1k", "--index"], "from 1,000,000 items on"),
        (["--items", "1m", "--index", "--device", "cuda"], "--index is for --device cpu"),
    ],
)
def test_what_cannot_be_planned_is_told_by_its_option(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *words]) == 1
    assert told in capsys.readouterr().err
