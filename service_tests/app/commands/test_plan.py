"""`nextup plan` from the command line."""

import json
import os

import pytest

from app.commands.main import main

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("NEXTUP_")]:
        monkeypatch.delenv(name)


@pytest.mark.slow
def test_plan_prints_a_table_and_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--items", "10M", "--users", "1m", "--rate", "100", "--workers", "3"]) == 0
    *table, last = capsys.readouterr().out.strip().splitlines()
    plan = json.loads(last)
    assert plan["asked"]["items"] == 10_000_000
    assert plan["artifact"]["bytes"] == sum(plan["artifact"]["files"].values())
    resident, worker = plan["resident"], plan["worker"]
    assert resident["bytes"] == resident["own"] + resident["mapped"]
    assert resident["own"] > 3 * worker["own"], "three workers and their supervisor"
    assert 1_130e6 < plan["artifact"]["bytes"] < 1_160e6
    assert plan["rate"]["workers"] > 1
    assert plan["device"] is None
    assert plan["not_measured"] == []
    text = "\n".join(table)
    for name in ("artifact on disk", "one worker, resident", "3 workers, resident", "Redis, bulk-loaded"):
        assert name in text


@pytest.mark.slow
def test_attributes_count_in_the_artifact_in_each_worker_and_in_redis(capsys: pytest.CaptureFixture[str]) -> None:
    plans, texts = [], []
    for options in ([], ["--attributes", "4"], ["--attributes", "4", "--live-items", "200k"]):
        assert main(["plan", "--items", "100k", "--workers", "2", *options]) == 0
        text, last = capsys.readouterr().out.rstrip().rsplit("\n", 1)
        plans.append(json.loads(last))
        texts.append(text)
    without, with_features, with_live = plans
    files = [plan["artifact"]["files"] for plan in plans]
    assert files[1]["catalogue.safetensors"] - files[0]["catalogue.safetensors"] == 100_000 * (8 + 4 * 4)
    assert files[1]["catalogue.parquet"] > files[0]["catalogue.parquet"]
    assert with_features["worker"]["mapped"] - without["worker"]["mapped"] == pytest.approx(2_400_000, rel=0.2)
    assert files[2] == files[1]
    live = with_live["live_catalogue"]
    assert (live["items"], with_live["worker"]["live"], without["live_catalogue"]["items"]) == (
        200_000,
        live["process"],
        0,
    )
    assert live["process"] > 200_000 * 4 * 8
    assert live["redis"] > live["process"]
    assert ["live catalogue" in text for text in texts] == [False, False, True]


@pytest.mark.slow
def test_unmeasured_quantities_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--items", "2m", "--device", "cuda", "--rate", "100"]) == 0
    text, last = capsys.readouterr().out.rstrip().rsplit("\n", 1)
    plan = json.loads(last)
    assert plan["rate"] is None
    assert [quantity.split()[0] for quantity in plan["not_measured"]] == ["requests", "memory"]
    assert "not measured: requests per second on cuda" in text
    weights, file = plan["device"]["weights"], plan["artifact"]["files"]["model.safetensors"]
    assert weights < file < 1.01 * weights


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--items", "many"], "--items must be a count such as 1500, 10k or 2.5m (got 'many')"),
        (["--items", "63"], "--items must be between 64 and 1,000,000,000 (got 63)"),
        (["--items", "1k", "--users", "0"], "--users must be between 1 and 10,000,000,000 (got 0)"),
        (["--items", "1k", "--length", "2k"], "NEXTUP_HISTORY_MAX_EVENTS"),
        (["--items", "1k", "--preset", "none"], "unknown preset 'none'"),
        (["--items", "1k", "--workers", "0"], "--workers must be between 1 and 4,096 (got 0)"),
        (["--items", "1k", "--rate", "nan"], "--rate must be a finite number (got 'nan')"),
        (["--items", "1k", "--id-bytes", "0"], "--id-bytes must be between 1 and 4,096 (got 0)"),
        (["--items", "1k", "--index"], "--index requires at least 1,000,000 items (got 1,000)"),
        (["--items", "1m", "--index", "--device", "cuda"], "--index requires --device cpu"),
    ],
)
def test_invalid_option_error_states_option_bounds_and_value(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *options]) == 1
    assert message in capsys.readouterr().err
