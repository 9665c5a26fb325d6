"""The chart is drawn from the benchmark records; missing records raise an error."""

import json
from pathlib import Path

import pytest

from app.commands.main import main

RECORDS = Path(__file__).parents[3] / "docs" / "benchmarks"


def test_committed_records_render_a_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "chart.png"
    assert main(["bench", "chart", str(RECORDS), "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["bytes"] == out.stat().st_size
    assert out.read_bytes().startswith(b"\x89PNG")


def test_different_records_render_different_charts(tmp_path: Path) -> None:
    for name in ("serve", "scaling"):
        (tmp_path / f"{name}.json").write_text((RECORDS / f"{name}.json").read_text())
    pictures = []
    for rate in (1_000.0, 9_000.0):
        record = json.loads((tmp_path / "serve.json").read_text())
        record["result"]["recommend_rps"] = rate
        (tmp_path / "serve.json").write_text(json.dumps(record))
        assert main(["bench", "chart", str(tmp_path), "--out", str(tmp_path / "chart.png")]) == 0
        pictures.append((tmp_path / "chart.png").read_bytes())
    assert pictures[0] != pictures[1]


def test_missing_records_raise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "chart", str(tmp_path), "--out", str(tmp_path / "chart.png")]) == 1
    assert "does not contain records of serve and scaling" in capsys.readouterr().err
