"""Footprints of models by size and preset, and of histories by length."""

import json
from pathlib import Path

import pytest

from app.bench.footprint import Footprint, HistoryFootprint, format_footprints
from app.bench.resources import ProcessMemory
from app.commands.main import main

pytestmark = pytest.mark.process


def test_bytes_per_item_count_only_the_artifact() -> None:
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
def test_command_reports_footprints_of_sizes_and_histories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--items", "60,30k", "--presets", "sasrec", "--events", "10,100", "--out", str(tmp_path / "artifacts")]
    assert main(["bench", "memory", *options, "--record", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    small, large = result["artifacts"]
    assert large["disk_bytes"] > small["disk_bytes"] + 30_000 * 64 * 4, "a vector per item"
    assert large["loaded"]["pss"] > large["before"]["pss"] + 30_000 * 64 * 4
    assert large["ratio"] == pytest.approx(1.0, abs=0.1), "measured by planned"
    assert large["disk_ratio"] == pytest.approx(1.0, abs=0.1)
    assert [history["ratio"] for history in result["histories"]] == pytest.approx([1.0] * 4, abs=0.1)
    for event_ids, least in ((False, 12), (True, 17)):
        short, long = (history for history in result["histories"] if history["event_ids"] is event_ids)
        per_event = (long["bytes_per_user"] - short["bytes_per_user"]) / (long["events"] - short["events"])
        assert least - 1 < per_event < 2 * least, "an entry, and an identity"
    assert json.loads((tmp_path / "memory.json").read_text())["result"] == result


@pytest.mark.parametrize(
    "options", [["--items", "many"], ["--items", "0"], ["--events", "1,,2"], ["--presets", "none"]]
)
def test_invalid_options_raise(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "memory", "--out", str(tmp_path), *options]) == 1
    assert options[0] in capsys.readouterr().err or options[0] == "--presets"
