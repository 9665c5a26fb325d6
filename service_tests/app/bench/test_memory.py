"""What a model takes is told by size and preset, and a history by its length."""

import json
from pathlib import Path

import pytest

from app.bench.footprint import Footprint, HistoryFootprint, format_footprints
from app.bench.resources import ProcessMemory
from app.commands.main import main


def test_bytes_per_item_are_what_the_artifact_adds() -> None:
    before, loaded = ProcessMemory(pss=1000, uss=900, rss=2000), ProcessMemory(pss=5000, uss=4000, rss=9000)
    assert Footprint("sasrec", 100, 3000, before, loaded, 0.1).per_item == 40.0
    assert Footprint("sasrec", 100, 3000, None, None, 0.1).per_item is None
    assert format_footprints([Footprint("sasrec", 100, 3000, None, None, 0.1)]).splitlines()[1].split()[3:6] == [
        "-",
        "-",
        "-",
    ]
    assert HistoryFootprint(users=4, events=10, bytes=800).per_user == 200.0


@pytest.mark.slow
def test_sizes_and_histories_give_a_table_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    what = ["--items", "60,30k", "--presets", "sasrec", "--events", "10,100", "--out", str(tmp_path / "made")]
    assert main(["bench", "memory", *what, "--record", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    small, large = found["artifacts"]
    assert large["disk_bytes"] > small["disk_bytes"] + 30_000 * 64 * 4, "a vector per item"
    assert large["loaded"]["pss"] > large["before"]["pss"] + 30_000 * 64 * 4
    assert large["ratio"] == pytest.approx(1.0, abs=0.1), "measured by planned"
    assert large["disk_ratio"] == pytest.approx(1.0, abs=0.1)
    short, long = found["histories"]
    assert [one["ratio"] for one in (short, long)] == pytest.approx([1.0, 1.0], abs=0.1)
    per_event = (long["bytes_per_user"] - short["bytes_per_user"]) / 90
    assert 12 < per_event < 200, "an entry, and a record beside it"
    assert json.loads((tmp_path / "memory.json").read_text())["result"] == found


@pytest.mark.parametrize("words", [["--items", "many"], ["--items", "0"], ["--events", "1,,2"], ["--presets", "none"]])
def test_what_makes_no_sense_is_told(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "memory", "--out", str(tmp_path), *words]) == 1
    assert words[0] in capsys.readouterr().err or words[0] == "--presets"
