"""`nextup bench accuracy` as it is typed: a table of what was trained, and going on where it stopped."""

import json
from pathlib import Path

import polars as pl
import pytest

from app.commands.main import main

OPTIONS = ["--", "--epochs", "2", "--dim", "16", "--max-len", "10", "--threads", "1"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Everybody walks 30 items in the same order."""
    rows = [
        (f"u{user}", f"i{(user * 7 + step) % 30}", 1_600_000_000 + step) for user in range(40) for step in range(12)
    ]
    path = tmp_path / "log.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(path)
    return path


def test_the_grid_is_trained_once_and_told_in_a_table(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table"
    grid = ["--data", f"walk={log}", "--presets", "popular,sasrec", "--seeds", "1,2", "--jobs", "2"]
    command = ["bench", "accuracy", *grid, "--out", str(tmp_path / "runs"), "--table", str(table), *OPTIONS]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["runs"], said["failed"], said["passed"]) == (4, 0, True)
    popular, sasrec = said["rows"]
    assert (popular["model"], popular["difference"], popular["seeds"]) == ("popular", None, [1, 2])
    gap = sasrec["difference"]
    assert gap["low"] <= gap["mean"] <= gap["high"]
    assert gap["mean"] == pytest.approx(sasrec["ndcg@10"] - popular["ndcg@10"])
    assert sasrec["ndcg@10_sd"] > 0
    assert sasrec["commands"][1].startswith(f"nextup train {log} --preset sasrec --seed 2 --out")
    assert json.loads(table.with_suffix(".json").read_text()) == said["rows"]
    assert "| walk | `sasrec` |" in table.with_suffix(".md").read_text()

    written = (tmp_path / "runs" / "walk" / "sasrec-1" / "manifest.json").stat().st_mtime_ns
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"] == said["rows"]
    assert (tmp_path / "runs" / "walk" / "sasrec-1" / "manifest.json").stat().st_mtime_ns == written

    assert main([*command, "--seed", "9"]) == 0
    assert "walk sasrec 1: kept as it is, from another command: nextup train" in capsys.readouterr().err


def test_a_run_that_fails_is_named_and_the_others_stand(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("user_id,item_id,timestamp\n")
    grid = ["--data", f"none={empty}", "--data", f"walk={log}", "--presets", "popular"]
    assert main(["bench", "accuracy", *grid, "--out", str(tmp_path / "runs"), *OPTIONS]) == 1
    out = capsys.readouterr().out
    assert "failed: none popular 1" in out
    assert [row["data"] for row in json.loads(out.splitlines()[-1])["rows"]] == ["walk"]


def test_a_variant_is_a_row_of_its_own_beside_its_preset(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = ["--variant", "sasrec, one layer=sasrec --option encoder.layers=1"]
    grid = ["--data", f"walk={log}", "--presets", "sasrec", *wide]
    assert main(["bench", "accuracy", *grid, "--out", str(tmp_path / "runs"), *OPTIONS]) == 0
    two, one = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert (two["model"], one["model"]) == ("sasrec", "sasrec, one layer")
    assert one["middle_bytes"] < two["middle_bytes"]
    assert "--option encoder.layers=1" in one["commands"][0]


def test_rows_of_a_log_with_repeats_are_judged_as_they_were_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two items in turn: only who may answer what the user had can be right."""
    rows = [(f"u{user}", f"i{step % 2}", 1_600_000_000 + step) for user in range(40) for step in range(12)]
    path = tmp_path / "turns.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(path)
    command = ["bench", "accuracy", "--data", f"turns={path}", "--presets", "popular"]
    found = []
    for words in ([], ["--keep-seen"]):
        assert main([*command, "--out", str(tmp_path / f"runs{len(words)}"), *OPTIONS, *words]) == 0
        found.append(json.loads(capsys.readouterr().out.splitlines()[-1])["rows"][0]["hr@10"])
    assert found == [0.0, 1.0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "walk"], "name=log or name=log,items is meant"),
        (["--data", "walk=nowhere.csv"], "nowhere.csv is not there"),
        (["--data", "walk={log}", "--presets", "magic"], "no preset is called 'magic'"),
        (["--data", "walk={log}", "--presets", "sasrec,sasrec"], "two rows would be called 'sasrec'"),
        (["--data", "walk={log}", "--variant", "twin"], "no preset is called 'twin'"),
        (["--data", "walk={log}", "--variant", "twin="], "name=preset and the options"),
        (["--data", "walk={log}", "--seeds", "one"], "numbers separated by commas"),
        (["--data", "walk={log}", "--jobs", "0"], "--jobs is 0"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    words: list[str], message: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.replace("{log}", str(log)) for word in words]
    assert main(["bench", "accuracy", *given, "--out", str(tmp_path / "runs")]) == 1
    assert message in capsys.readouterr().err
