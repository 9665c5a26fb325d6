"""Reports of `nextup train` and `nextup evaluate`: the numbers of the JSON result, on logs of any kind."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.commands.main import main
from service_tests.support.html_pages import HtmlPage, check_self_contained, parse_html

Capture = pytest.CaptureFixture[str]
START = 1_700_000_000
HOSTILE = '<img src=x onerror="alert(1)">'
SMALL = ["--dim", "16", "--max-len", "20", "--epochs", "2", "--dropout", "0"]


def write_log(folder: Path) -> list[str]:
    """A log of 30 users who visit 24 items in one order, with a bad row, and items with titles and categories."""
    rows = [
        {
            "user_id": f"u{user}{HOSTILE}",
            "item_id": f"i{(user * 3 + step) % 24}",
            "timestamp": START + 900 * step + user,
        }
        for user in range(30)
        for step in range(3 + user % 12)
    ]
    items = [
        {"item_id": f"i{item}", "title": f"{HOSTILE} {item}", "categories": ["even" if item % 2 == 0 else HOSTILE]}
        for item in range(24)
    ]
    pl.DataFrame([*rows, {"user_id": "", "item_id": "i1", "timestamp": START}]).write_ndjson(folder / "log.jsonl")
    pl.DataFrame(items).write_parquet(folder / "items.parquet")
    return [str(folder / "log.jsonl"), "--items", str(folder / "items.parquet")]


def run(capsys: Capture, *arguments: object) -> dict[str, Any]:
    assert main([str(argument) for argument in arguments]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return result


def read_report(path: Path) -> HtmlPage:
    page = parse_html(path.read_text())
    check_self_contained(page)
    return page


def check_numbers(page: HtmlPage, result: dict[str, Any]) -> None:
    """Check that the tables of a page have the numbers of the JSON result."""
    for name, value, interval in page.tables["Metrics"][1:]:
        assert value == f"{result[name.lower()]:.4f}"
        assert interval == "{:.4f} to {:.4f}".format(*result["intervals"][name.lower()])
    assert len(page.tables["Metrics"]) == 10
    groups = [
        row
        for name in ("length of the history", "popularity of the target", "recency")
        for row in page.tables[f"By {name}"][1:]
    ]
    assert {row[0] for row in groups} == result["segments"].keys()
    for name, cases, ndcg, _, hit_rate in groups:
        segment = result["segments"][name]
        assert (cases, ndcg, hit_rate) == (
            str(segment["cases"]),
            f"{segment['ndcg@10']:.4f}",
            f"{segment['hr@10']:.4f}",
        )
    assert [row[1] for row in page.tables["NDCG@10 against baselines"][1:]] == [
        f"{row['ndcg@10']:.4f}" for row in result["baselines"]
    ]
    diversity = {row[0].split(",")[0]: row[1:] for row in page.tables["All metrics"][1:]}
    assert float(diversity["novelty@10"][0]) == pytest.approx(result["diversity"]["novelty@10"], rel=1e-3)
    assert float(diversity["popularity lift@10"][0]) == pytest.approx(
        result["diversity"]["popularity_lift@10"], rel=1e-3
    )
    assert [float(value) for value in diversity["coverage@10"][1:]] == pytest.approx(
        [row["coverage@10"] for row in result["baselines"]], rel=1e-3
    )
    calibration = result["calibration"]
    assert [(name, history) for name, history, _ in page.tables["Shares of categories"][1:]] == [
        (each["category"], f"{each['history']:.2%}") for each in calibration["categories"]
    ]
    assert f"is {calibration['miscalibration@10']:.4f}; 0 is perfect" in page.text
    rows = dict(page.tables["Rows and events"][1:])
    assert (rows["rows read"], rows["events of the log"]) == (
        str(result["funnel"]["rows"]),
        str(result["funnel"]["events"]),
    )
    assert any(name.startswith("bad rows: ") and count == "1" for name, count in rows.items())
    for part, size in result["bytes"].items():
        assert dict(page.tables["Bytes by part"])[part] == f"{size:,}"


def test_reports_have_the_numbers_of_the_json_result(tmp_path: Path, capsys: Capture) -> None:
    log, out, report = write_log(tmp_path), tmp_path / "artifact", tmp_path / "report.html"
    trained = run(capsys, "train", *log, "--out", out, "--preset", "sasrec", *SMALL)
    page = read_report(out / "training" / "report.html")
    check_numbers(page, trained)
    assert [row[0] for row in page.tables["Training loss"][1:]] == ["1", "2"]
    assert f"of {trained['test_users']} cases, evenly spaced" in page.text
    assert page.text.count("because of ") > 10, "examples are explained"
    assert HOSTILE in page.text

    evaluated = run(capsys, "evaluate", out, log[0], "--baselines", "--report", report)
    page = read_report(report)
    check_numbers(page, evaluated)
    assert [row[0] for row in page.tables["Training loss"][1:]] == ["1", "2"], "the curve of the artifact"
    assert dict(page.tables["Weights"])["weights without compression"] == f"{evaluated['uncompressed_bytes']:,}"
    assert "evaluate without --sampled" not in page.text
    assert evaluated["segments"] == trained["segments"]
    assert evaluated["calibration"] == trained["calibration"]

    run(capsys, "evaluate", out, log[0], "--sampled", "5", "--report", report)
    sampled = read_report(report)
    assert sampled.text.count("evaluate without --sampled") == 2, "for diversity and for calibration"
    assert "ranked against 5 random negatives" in sampled.text


@pytest.mark.parametrize("length", [1, 2, 3])
def test_report_of_a_tiny_log_states_what_was_not_measured(length: int, tmp_path: Path, capsys: Capture) -> None:
    rows = [
        {"user_id": f"u{user}", "item_id": f"i{user + step}", "timestamp": step}
        for user in range(3)
        for step in range(length)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "log.csv")
    run(capsys, "train", tmp_path / "log.csv", "--out", tmp_path / "artifact", "--preset", "popular")
    run(capsys, "evaluate", tmp_path / "artifact", tmp_path / "log.csv", "--report", tmp_path / "report.html")
    for path in (tmp_path / "artifact" / "training" / "report.html", tmp_path / "report.html"):
        page = read_report(path)
        assert "Not measured: the log has no real times" in page.text
        assert "Not measured: the items have no categories" in page.text or length < 3
        assert ("Not measured: there are no cases" in page.text) == (length < 3)
        assert ("no user has three events" in page.text) == (length < 3)
        assert ("Without reasons: this model ranks items by their counts" in page.text) == (length == 3)
