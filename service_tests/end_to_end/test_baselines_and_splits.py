"""Trainings and evaluations compare with baselines, judge convergence, and split by time."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.commands.main import main

START = 1_700_000_000
SMALL = ["--epochs", "1", "--dim", "16", "--max-len", "20", "--threads", "1", "--preset", "sasrec"]
pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]


def write_log(folder: Path, *, start: int = START) -> Path:
    """60 users visit 20 items in one order, at most 12 events each; the last one is 720 seconds after the start."""
    rows = [(f"u{user}", f"i{(user * 3 + step) % 20}", start + 60 * step) for user in range(60) for step in range(12)]
    path = folder / "log.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(path)
    return path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def parse_last_line(text: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return result


def test_training_that_loses_to_a_baseline_warns_and_is_not_published(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "artifact"
    assert run("train", write_log(tmp_path), "--out", out, *SMALL) == 0
    output = capsys.readouterr()
    result = parse_last_line(output.out)
    rows = {row["name"]: row for row in result["baselines"]}
    assert rows.keys() == {"sasrec", "popular", "markov", "cooccurrence", "vsknn"}
    assert rows["markov"]["ndcg@10"] > 0.9, "an order shared by all users is a Markov chain"
    assert rows["sasrec"]["ndcg@10"] == pytest.approx(result["ndcg@10"])
    assert (result["beats_baselines"], result["converged"], result["baseline_users"]) == (False, None, 60)
    assert "against markov" in output.out
    assert "warning: sasrec is worse than the baseline markov: NDCG@10 " in output.err
    assert "warning: whether the training has converged cannot be judged" in output.err
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["verdict"]["passed"], manifest["verdict"]["converged"]) == (False, None)
    assert manifest["split"] == {"name": "leave-one-out"}
    page = (out / "training" / "report.html").read_text()
    assert "markov" in page
    assert "is worse than" in page
    monkeypatch.setenv("NEXTUP_ARTIFACT", str(tmp_path / "models"))
    assert run("publish", out) == 1
    assert "is worse than the baseline markov" in capsys.readouterr().err


def test_split_by_time_is_used_by_training_and_evaluation(tmp_path: Path, capsys: Capture) -> None:
    log, out, report = write_log(tmp_path), tmp_path / "artifact", tmp_path / "report.html"
    assert run("train", log, "--out", out, *SMALL, "--split", "time") == 0
    trained = parse_last_line(capsys.readouterr().out)
    moment = START + 60 * 10  # the last tenth of 720 events begins in the eleventh minute
    assert (trained["split"], trained["split_at"]) == ("time", "2023-11-14T22:23:20Z")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["split"] == {"name": "time", "moment_ms": 1000 * moment}
    assert pl.read_parquet(out / "catalogue.parquet")["count"].sum() == 60 * 9, "neither held-out nor later events"

    assert run("evaluate", out, log, "--baselines", "--report", report) == 0
    evaluated = parse_last_line(capsys.readouterr().out)
    assert (evaluated["split"], evaluated["ndcg@10"]) == ("time", trained["ndcg@10"])
    assert [row["ndcg@10"] for row in evaluated["baselines"]] == [row["ndcg@10"] for row in trained["baselines"]]
    assert evaluated["segments"] == trained["segments"]
    assert "markov" in report.read_text()

    assert run("evaluate", out, log, "--split", "leave-one-out") == 0
    assert parse_last_line(capsys.readouterr().out)["split"] == "leave-one-out"
    assert run("evaluate", out, log, "--split-at", START + 120) == 1
    assert "--split-at must not be earlier" in capsys.readouterr().err


def test_targets_outside_the_catalogue_are_missed_and_reported(tmp_path: Path, capsys: Capture) -> None:
    log, out = write_log(tmp_path), tmp_path / "artifact"
    frame = pl.read_csv(log)
    is_late = (pl.col("timestamp") == START + 600) & pl.col("user_id").str.ends_with("5")
    changed = frame.with_columns(item_id=pl.when(is_late).then(pl.lit("new")).otherwise("item_id"))
    changed.write_csv(log)
    assert run("train", log, "--out", out, "--preset", "popular", "--split", "time") == 0
    result = parse_last_line(capsys.readouterr().out)
    assert result["unknown_targets"] == 6
    assert result["segments"]["new items"] == {"cases": 6, "ndcg@10": 0.0, "hr@10": 0.0}
    assert run("evaluate", out, log) == 0
    assert "6 of 60 targets are not in the catalogue and count as misses" in capsys.readouterr().err


def test_all_users_with_an_event_after_the_moment_are_no_sample(tmp_path: Path, capsys: Capture) -> None:
    """Ten users have four events before the moment, and six of them one after it."""
    rows = [(f"u{user}", f"i{step}", START + step) for user in range(10) for step in range(5 if user < 6 else 4)]
    log = tmp_path / "log.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(log)
    by_time = ["--split", "time", "--split-at", START + 4]
    assert run("train", log, "--out", tmp_path / "artifact", "--preset", "popular", *by_time) == 0
    output = capsys.readouterr().out
    result = parse_last_line(output)
    assert (result["test_users"], result["test_is_sample"]) == (6, False)
    assert "test, 6 users" in output


def test_items_that_are_new_after_the_moment_are_not_dropped_as_rare(tmp_path: Path, capsys: Capture) -> None:
    """Lowering --min-item-events would not keep item "new"; "rare" has one event before the moment."""
    items = ["a", "b", "rare", "a", "b", "new"]
    rows = [("u0", item, START + step) for step, item in enumerate(items)]
    rows += [(f"u{user}", item, START + 5) for user in (1, 2) for item in ("a", "new")]
    log = tmp_path / "log.csv"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(log)
    by_time = ["--split", "time", "--split-at", START + 5, "--min-item-events", "2"]
    assert run("train", log, "--out", tmp_path / "artifact", "--preset", "popular", *by_time) == 0
    output = capsys.readouterr()
    new, rare = parse_last_line(output.out)["funnel"]["dropped"]
    assert new == {
        "rule": "--split time (items without an event before the moment)",
        "events": 3,
        "items": 1,
        "users": 0,
    }
    assert rare == {"rule": "--min-item-events 2", "events": 1, "items": 1, "users": 0}
    assert "dropped by the rule --split time (items without an event before the moment): 3 events" in output.err
    assert "warning: the rule --split time" not in output.err


def test_split_by_time_needs_real_times_and_an_artifact_trained_so(tmp_path: Path, capsys: Capture) -> None:
    log, out = write_log(tmp_path), tmp_path / "artifact"
    assert run("train", log, "--out", out, "--preset", "popular") == 0
    assert run("evaluate", out, log, "--split", "time") == 1
    assert "trained leave-one-out, on events of all times; train it with --split time" in capsys.readouterr().err
    ranks = write_log(tmp_path, start=0)
    assert run("train", ranks, "--out", tmp_path / "other", "--preset", "popular", "--split", "time") == 1
    assert "--split time needs real times, and 720 of 720 events have none" in capsys.readouterr().err
    assert run("train", log, "--out", tmp_path / "other", "--split-at", "yesterday") == 1
    assert "--split-at must be Unix seconds or RFC 3339 (got 'yesterday')" in capsys.readouterr().err
    assert run("train", log, "--out", tmp_path / "other", "--split-at", START) == 1
    assert "--split-at needs --split time" in capsys.readouterr().err


def test_table_of_baselines_needs_no_model(tmp_path: Path, capsys: Capture) -> None:
    log, table = write_log(tmp_path), tmp_path / "table"
    grid = ["--data", f"walk={log}", "--baselines", "popular,markov", "--splits", "leave-one-out,time"]
    assert run("bench", "baselines", *grid, "--table", table) == 0
    record = json.loads(table.with_suffix(".json").read_text())
    assert [(row["split"], row["name"]) for row in record["rows"]] == [
        ("leave-one-out", "markov"),
        ("leave-one-out", "popular"),
        ("time", "markov"),
        ("time", "popular"),
    ]
    assert "| walk | leave-one-out | 60 | `markov` |" in table.with_suffix(".md").read_text()
    ranks = write_log(tmp_path, start=0)
    assert run("bench", "baselines", "--data", f"ranks={ranks}", "--splits", "time,leave-one-out") == 0
    output = capsys.readouterr()
    assert "ranks, time: --split time needs real times" in output.err
    assert {row["split"] for row in parse_last_line(output.out)["rows"]} == {"leave-one-out"}
    assert run("bench", "baselines", "--data", f"walk={log}", "--baselines", "magic") == 1
    assert "--baselines must be of popular, markov, cooccurrence, vsknn (got 'magic')" in capsys.readouterr().err
