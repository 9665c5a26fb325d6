"""`nextup items` and `nextup demo`."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.commands.main import main
from models.data.interactions import read_interactions
from models.data.items import read_items


def list_items(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["items", *words, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize(
    ("options", "found_ids", "matches"),
    [
        (["--limit", "2"], ["i1", "i2"], 60),
        (["--find", "NUMBER 17"], ["i17"], 1),
        (["--find", "i6"], ["i6", "i60"], 2),
        (["--category", "low", "--limit", "1"], ["i1"], 10),
        (["--category", "low", "--find", "7"], ["i7"], 1),
        (["--category", "none"], [], 0),
    ],
)
def test_items_are_listed_by_popularity_and_filtered(
    options: list[str], found_ids: list[str], matches: int, tiny_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = list_items(capsys, str(tiny_artifact), *options)
    assert [item["item_id"] for item in result["items"]] == found_ids
    assert (result["matches"], result["catalogue"]) == (matches, 60)


def test_table_shows_rank_events_and_title(tiny_artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["items", str(tiny_artifact), "--find", "i12"]) == 0
    summary, head, row, _ = capsys.readouterr().out.splitlines()
    assert summary == "1 of 1 matching items, of 60 in the catalogue:"
    assert head.split() == ["rank", "item", "events", "title", "categories"]
    assert row.split() == ["12", "i12", "83", "Item", "number", "12", "even"]


def test_demo_writes_files_that_other_commands_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)
    events, items = read_interactions([Path(files["log"])]).events, read_items(Path(files["items"]))
    assert set(events["item_id"]) <= set(items["item_id"])
    assert "ada" in set(events["user_id"])
