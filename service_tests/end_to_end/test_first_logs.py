"""A new shop's first logs: `nextup inspect`, tiny logs, and an evaluation on a newer log."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.commands.main import main

SMALL = ["--epochs", "3", "--dim", "16", "--max-len", "20", "--batch-cells", "128"]


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """The JSON result and standard error of a command that must succeed."""
    assert main(words) == 0, capsys.readouterr().err
    output = capsys.readouterr()
    result: dict[str, Any] = json.loads(output.out.splitlines()[-1], parse_constant=pytest.fail)
    return result, output.err


def write_log(path: Path, rows: list[tuple[str, str, int]]) -> Path:
    path.write_text("user_id,item_id,timestamp\n" + "".join(f"{u},{i},{1_700_000_000 + 60 * t}\n" for u, i, t in rows))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["popular", "blossom"])
@pytest.mark.parametrize("most_events", [1, 2, 3])
def test_users_with_few_events_are_enough_for_a_model(
    preset: str, most_events: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"u{user}", f"i{(user + step) % 6}", step) for user in range(24) for step in range(1 + user % most_events)]
    log = write_log(tmp_path / "log.csv", rows)
    result, errors = run(["train", str(log), "--out", str(tmp_path / "model"), "--preset", preset, *SMALL], capsys)
    assert result["funnel"]["dropped"] == []
    assert result["items"] == 6
    if most_events < 3:
        assert result["ndcg@10"] is None
        assert "warning: the test metrics were not measured: no user has three events" in errors
    else:
        assert result["ndcg@10"] >= 0
    expected = preset if most_events > 1 else "popular"
    assert result["preset"] == expected, "without two training events of any user there is no order to learn"
    assert ("training popular instead" in errors) == (preset != expected)
    evaluated, errors = run(["evaluate", str(tmp_path / "model"), str(log)], capsys)
    assert evaluated["ndcg@10"] == result["ndcg@10"]
    assert ("were not measured" in errors) == (most_events < 3)


def test_small_log_trains_within_a_time_limit_without_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"u{user}", f"i{(user + step) % 6}", step) for user in range(24) for step in range(2)]
    log = write_log(tmp_path / "log.csv", rows)
    words = ["train", str(log), "--out", str(tmp_path / "model"), "--preset", "sasrec", *SMALL, "--max-minutes", "0.02"]
    assert run(words, capsys)[0]["ndcg@10"] is None


def test_newer_log_counts_unknown_targets_as_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"u{user}", f"i{(user + step) % 8}", step) for user in range(30) for step in range(5)]
    log = write_log(tmp_path / "log.csv", rows)
    run(["train", str(log), "--out", str(tmp_path / "model"), "--preset", "popular"], capsys)
    newer = write_log(tmp_path / "newer.csv", [*rows, *((f"u{user}", "new", 9) for user in range(12))])
    before, _ = run(["evaluate", str(tmp_path / "model"), str(log)], capsys)
    after, errors = run(["evaluate", str(tmp_path / "model"), str(newer)], capsys)
    assert (before["unknown_targets"], after["unknown_targets"]) == (0, 12)
    assert (before["users"], after["users"], after["known_targets"]["users"]) == (30, 30, 18)
    assert after["hr@10"] == pytest.approx(after["known_targets"]["hr@10"] * 18 / 30)
    assert "12 of 30 targets are not in the catalogue and count as misses; over the other 18" in errors
    assert after["funnel"]["dropped"][0] | {"rule": ""} == {"rule": "", "events": 12, "items": 1, "users": 0}


def test_dropped_items_are_stated_with_the_option_that_keeps_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"u{user}", f"i{user % 3}" if step else f"rare{user}", step) for user in range(12) for step in range(4)]
    log = write_log(tmp_path / "log.csv", rows)
    words = ["train", str(log), "--out", str(tmp_path / "model"), "--preset", "popular", "--min-item-events", "5"]
    result, errors = run(words, capsys)
    assert result["funnel"]["dropped"] == [{"rule": "--min-item-events 5", "events": 12, "items": 12, "users": 0}]
    assert "warning: the rule --min-item-events 5 drops 25% of the events; lower --min-item-events" in errors


def test_inspect_reads_a_shop_export_and_prints_the_line_that_trains_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(
        f"{user};P-{(user + step) % 7};2024-01-{step + 1:02} 10:00:00\n" for user in range(20) for step in range(6)
    )
    (tmp_path / "orders.csv").write_text("Customer ID;SKU;Bought at\n" + rows)
    (tmp_path / "products.csv").write_text(
        "code,name\n" + "".join(f"P-{number},Product {number}\n" for number in range(7))
    )
    assert main(["train", str(tmp_path / "orders.csv"), "--out", str(tmp_path / "model")]) == 1
    hint = "(rename with --columns 'user=Customer ID,item=SKU,time=Bought at')"
    assert f"no column 'user_id'; it has Customer ID, SKU, Bought at {hint}" in capsys.readouterr().err
    result, _ = run(["inspect", str(tmp_path / "orders.csv")], capsys)
    assert result["reading_options"] == "--columns 'user=Customer ID,item=SKU,time=Bought at'"
    columns = "user=Customer ID,item=SKU,time=Bought at,items.item=code,title=name"
    words = [str(tmp_path / "orders.csv"), "--columns", columns, "--items", str(tmp_path / "products.csv")]
    result, errors = run(["inspect", *words], capsys)
    assert result["funnel"]["events"] == 120
    assert f"--columns '{columns}'" in result["train"]
    assert "note: times without an offset are read as UTC" in errors
    assert "describes 7 of 7 items of the log" in errors
    trained, errors = run(["train", *words, "--out", str(tmp_path / "model"), "--preset", "popular"], capsys)
    assert trained["funnel"] == result["funnel"]


def run_unnamed(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """Lines of standard output, and standard error, of an inspection that needs names of columns."""
    assert main(["inspect", *words]) == 1
    output = capsys.readouterr()
    return output.out.splitlines(), output.err


def write_unnamed(path: Path) -> Path:
    """Write a log under names that say nothing, in the format of the suffix."""
    values = {"a_x": ["u1", "u1", "u2", "u3", "u4"], "b_y": ["i1", "", "i2", "i1", "i3"], "c_z": [1_700_000_000] * 5}
    frame = pl.DataFrame(values)
    if path.suffix == ".csv":
        frame.write_csv(path)
    elif path.suffix == ".jsonl":
        frame.write_ndjson(path)
    else:
        frame.write_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_inspect_shows_columns_that_it_cannot_name_with_values(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_unnamed(tmp_path / f"log{suffix}")
    lines, errors = run_unnamed([str(log)], capsys)
    assert [line.split() for line in lines] == [
        ["columns", "of", f"{log}:"],
        ["column", "probably", "first", "values"],
        ["a_x", "u1,", "u2,", "u3,", "…"],
        ["b_y", "i1,", "i2,", "i3"],
        ["c_z", "time", "1700000000"],
    ]
    assert errors.endswith("no column 'user_id'; name the columns with --columns 'user=…,item=…,time=c_z'\n")
    result, _ = run(["inspect", str(log), "--columns", "user=a_x,item=b_y,time=c_z"], capsys)
    assert result["funnel"]["events"] == 4


def test_inspect_keeps_the_names_that_are_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_unnamed(tmp_path / "log.csv")
    _, errors = run_unnamed([str(log), "--columns", "user=a_xx,item=b_y,time=c_z"], capsys)
    assert "no column 'a_xx'; name the columns with --columns 'user=…,item=b_y,time=c_z'" in errors
    log.write_text("a_x,b_y\nu1,i1\n")
    _, errors = run_unnamed([str(log)], capsys)
    assert "--columns 'user=…,item=…,time=…', or without times --order file instead of time=…" in errors


def test_inspect_recognizes_times_by_their_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.csv"
    log.write_text("gekauft,customer,sku\n14.11.2023 22:13,u1,i1\n15.11.2023 10:00,u1,i2\n")
    result, _ = run(["inspect", str(log)], capsys)
    assert result["reading_options"] == ("--columns user=customer,item=sku,time=gekauft --time-format '%d.%m.%Y %H:%M'")
    log.write_text("customer,sku,price\nu1,i1,5\nu1,i2,12\n")
    assert run(["inspect", str(log)], capsys)[0]["reading_options"] == "--columns user=customer,item=sku --order file"


def test_inspect_finds_usual_column_names_and_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "orders.csv").write_text("customer_id,sku,created_at\n7,A,2024-01-01\n7,B,2024-01-02\n")
    result, _ = run(["inspect", str(tmp_path / "orders.csv")], capsys)
    assert result["reading_options"] == "--columns user=customer_id,item=sku,time=created_at"
    assert result["sample"][0] == {"user_id": "7", "item_id": "A", "timestamp": "2024-01-01T00:00:00Z"}
    (tmp_path / "u.data").write_text("7\t31\t4\t978300760\n")
    assert run(["inspect", str(tmp_path / "u.data")], capsys)[0]["reading_options"] == "--format movielens"
    repeats = write_log(tmp_path / "repeats.csv", [("u", "i", time) for time in range(9)])
    result, _ = run(["inspect", str(repeats)], capsys)
    assert "--keep-seen" in result["train"]
    assert result["funnel"]["repeats"] == 8
