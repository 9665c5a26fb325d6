"""`nextup bench accuracy` from the command line: the comparison table and resuming."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.commands.main import main

pytestmark = pytest.mark.process

OPTIONS = ["--", "--epochs", "2", "--dim", "16", "--max-len", "10", "--threads", "1"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """All users interact with 30 items in the same order."""
    rows = [
        (f"u{user}", f"i{(user * 7 + step) % 30}", 1_600_000_000 + step) for user in range(40) for step in range(12)
    ]
    path = tmp_path / "log.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(path)
    return path


def test_grid_is_trained_once_and_reported(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table"
    grid = ["--data", f"walk={log}", "--presets", "popular,sasrec", "--seeds", "1,2", "--jobs", "2"]
    command = ["bench", "accuracy", *grid, "--out", str(tmp_path / "runs"), "--table", str(table), *OPTIONS]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["runs"], report["failed"], report["passed"]) == (4, 0, True)
    popular, sasrec = report["rows"]
    assert (popular["model"], popular["difference"], popular["seeds"]) == ("popular", None, [1, 2])
    gap = sasrec["difference"]
    assert gap["low"] <= gap["mean"] <= gap["high"]
    assert gap["mean"] == pytest.approx(sasrec["ndcg@10"] - popular["ndcg@10"])
    assert sasrec["ndcg@10_sd"] > 0
    better = max(popular["ndcg@10"], sasrec["baselines"]["markov"])
    assert sasrec["gain"] == pytest.approx(sasrec["ndcg@10"] / better - 1)
    assert f"| {sasrec['baselines']['markov']:.4f} | {sasrec['gain']:+.1%} |" in table.with_suffix(".md").read_text()
    assert sasrec["commands"][1].startswith(f"nextup train {log} --preset sasrec --seed 2 --out")
    assert json.loads(table.with_suffix(".json").read_text()) == report["rows"]
    assert "| walk | `sasrec` |" in table.with_suffix(".md").read_text()

    modified_at = (tmp_path / "runs" / "walk" / "sasrec-1" / "manifest.json").stat().st_mtime_ns
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"] == report["rows"]
    assert (tmp_path / "runs" / "walk" / "sasrec-1" / "manifest.json").stat().st_mtime_ns == modified_at

    assert main([*command, "--seed", "9"]) == 0
    assert "walk sasrec 1: result of another command is reused: nextup train" in capsys.readouterr().err


def test_options_of_a_log_apply_to_its_runs_only(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", f"walk={log}", "--data", f"repeats={log}", "--log-options", "repeats=--keep-seen --dim 8"]
    command = ["bench", "accuracy", *data, "--presets", "popular", "--out", str(tmp_path / "runs"), *OPTIONS]
    assert main(command) == 0
    walk, repeats = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert "--keep-seen" not in walk["commands"][0]
    assert "--keep-seen" in repeats["commands"][0]
    folders = [tmp_path / "runs" / name / "popular-1" for name in ("walk", "repeats")]
    configs = [json.loads((folder / "config.json").read_text()) for folder in folders]
    assert [config["dim"] for config in configs] == [16, 8], "an option of a log prevails over one of all runs"
    assert main([*command[:6], "--log-options", "other=--keep-seen", *command[8:]]) == 1
    assert "--log-options: 'other' is no name of --data" in capsys.readouterr().err


def test_failed_run_is_named_and_the_others_are_reported(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("user_id,item_id,timestamp\n")
    grid = ["--data", f"none={empty}", "--data", f"walk={log}", "--presets", "popular"]
    assert main(["bench", "accuracy", *grid, "--out", str(tmp_path / "runs"), *OPTIONS]) == 1
    out = capsys.readouterr().out
    assert "failed: none popular 1" in out
    assert [row["data"] for row in json.loads(out.splitlines()[-1])["rows"]] == ["walk"]


def test_variant_has_a_separate_row(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = ["--variant", "sasrec, one layer=sasrec --option encoder.layers=1"]
    grid = ["--data", f"walk={log}", "--presets", "sasrec", *wide]
    assert main(["bench", "accuracy", *grid, "--out", str(tmp_path / "runs"), *OPTIONS]) == 0
    two_layers, one_layer = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert (two_layers["model"], one_layer["model"]) == ("sasrec", "sasrec, one layer")
    assert one_layer["middle_bytes"] < two_layers["middle_bytes"]
    assert "--option encoder.layers=1" in one_layer["commands"][0]


def test_evaluation_uses_the_keep_seen_option_of_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two alternating items: only a model that may recommend seen items can be correct."""
    rows = [(f"u{user}", f"i{step % 2}", 1_600_000_000 + step) for user in range(40) for step in range(12)]
    path = tmp_path / "turns.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(path)
    command = ["bench", "accuracy", "--data", f"turns={path}", "--presets", "popular"]
    hit_rates = []
    for extra in ([], ["--keep-seen"]):
        assert main([*command, "--out", str(tmp_path / f"runs{len(extra)}"), *OPTIONS, *extra]) == 0
        hit_rates.append(json.loads(capsys.readouterr().out.splitlines()[-1])["rows"][0]["hr@10"])
    assert hit_rates == [0.0, 1.0]


def test_split_by_time_holds_out_the_same_events_in_training_and_table(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["--data", f"walk={log}", "--presets", "popular", "--split", "time", "--out", str(tmp_path / "runs")]
    assert main(["bench", "accuracy", *grid, *OPTIONS]) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert row["split"] == "time"
    assert "--split time" in row["commands"][0]
    result = json.loads((tmp_path / "runs" / "walk" / "popular-1" / "result.json").read_text())
    assert row["ndcg@10"] == pytest.approx(result["ndcg@10"])
    assert row["baselines"]["markov"] > row["baselines"]["popular"] == pytest.approx(row["ndcg@10"])


def test_log_is_read_with_the_options_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every user views items, and every other user also buys one; only purchases are held out."""
    rows = [
        (f"u{user}", f"i{(user * 7 + step) % 30}", 1_600_000_000 + step, "view" if step % 4 or user % 2 else "buy")
        for user in range(40)
        for step in range(10)
    ]
    path = tmp_path / "shop.csv"
    pl.DataFrame(rows, schema=["who", "item_id", "timestamp", "kind"], orient="row").write_csv(path)
    options = "shop=--columns user=who,type=kind --target-type buy"
    grid = ["--data", f"shop={path}", "--log-options", options, "--presets", "popular"]
    assert main(["bench", "accuracy", *grid, "--out", str(tmp_path / "runs"), *OPTIONS]) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    folder = tmp_path / "runs" / "shop" / "popular-1"
    result = json.loads((folder / "result.json").read_text())
    assert row["ndcg@10"] == pytest.approx(result["ndcg@10"])
    assert len(np.load(folder / "places.npy")) == result["test_users"] == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "walk"], "--data must be NAME=LOG or NAME=LOG,ITEMS (got 'walk')"),
        (["--data", "walk=nowhere.csv"], "nowhere.csv does not exist"),
        (["--data", "walk={log}", "--presets", "magic"], "unknown preset 'magic'"),
        (["--data", "walk={log}", "--presets", "sasrec,sasrec"], "two rows have the name 'sasrec'"),
        (["--data", "walk={log}", "--variant", "twin"], "unknown preset 'twin'"),
        (["--data", "walk={log}", "--variant", "twin="], "--variant must be NAME=PRESET OPTIONS"),
        (
            ["--data", "walk={log}", "--seeds", "one"],
            "--seeds takes values separated by commas, and each must be a whole number (got 'one')",
        ),
        (["--data", "walk={log}", "--jobs", "0"], "--jobs must be at least 1 (got 0)"),
    ],
)
def test_invalid_options_raise_before_training(
    options: list[str], message: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [option.replace("{log}", str(log)) for option in options]
    assert main(["bench", "accuracy", *arguments, "--out", str(tmp_path / "runs")]) == 1
    assert message in capsys.readouterr().err
