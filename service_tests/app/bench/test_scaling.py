"""A rung is passed by what it answered in time, and told with what it took."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.bench.resources import ProcessMemory
from app.bench.scaling import ScaleResult, ScaleStep, format_scaling_table
from app.bench.serve.report import summarize_rounds
from app.bench.serve.rounds import Round
from app.commands.main import main
from service_tests.app.bench.serve.tallies import tally

MODEL = {"model": 100}


def climbed(
    *latencies_s: float, errors: dict[str, int] | None = None, served_by: dict[str, int] | None = None
) -> ScaleResult:
    found = tally(len(latencies_s), latencies_s=np.array(latencies_s), failures=errors, served_by=served_by or MODEL)
    memory = ProcessMemory(pss=3_000_000_000, uss=2_000_000_000, rss=9_000_000_000)
    return ScaleResult(
        ScaleStep(1000, 10.0), summarize_rounds("recommend", [Round(found, None)]), memory, memory, 80_000, 1.5, 1.0
    )


def test_rungs_are_read_as_sizes_and_rates() -> None:
    assert ScaleStep.parse_all("10k@100, 1M@500,1500@0.5") == [
        ScaleStep(10_000, 100.0),
        ScaleStep(1_000_000, 500.0),
        ScaleStep(1500, 0.5),
    ]


@pytest.mark.parametrize("text", ["", "10k", "k@1", "10k@", "10k@0", "10@1", "1m@-1", "1m@nan", "10g@1", "infk@1"])
def test_what_is_no_rung_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="--rungs has"):
        ScaleStep.parse_all(text)


def test_a_rung_is_passed_at_the_target_and_missed_above_it() -> None:
    assert climbed(*[0.04] * 19, 2.0).failure_reasons == [], "one in twenty may be slow"
    assert climbed(*[0.04] * 7, *[0.06] * 3).failure_reasons == ["p90 of 60.0 ms is above 50 ms"]


def test_errors_and_fallbacks_are_not_passed() -> None:
    assert climbed(0.01, errors={"timeout": 2}).failure_reasons == ["errors: 2 timeout"]
    assert climbed(0.01, served_by={"model": 90, "popularity": 10}).failure_reasons == [
        "only 90.0% answered by the model"
    ]
    assert "no answers" in climbed().failure_reasons
    assert replace(climbed(0.01), recall=0.985).failure_reasons == ["recall@10 of 0.985 is below 0.99"]


def test_the_table_has_a_line_per_rung_with_memory_that_is_counted_once() -> None:
    one = climbed(0.01)
    head, *lines = format_scaling_table(
        [one, replace(one, rung=ScaleStep(10_000_000, 1000.0), recall=None)]
    ).splitlines()
    assert len(lines) == 2
    values = dict(
        zip(
            head.replace(" ms", "_ms").replace(" MB", "_MB").replace(" s", "_s").split(), lines[0].split(), strict=False
        )
    )
    assert (values["items"], values["PSS_MB"], values["USS_MB"]) == ("1,000", "3,000", "2,000")
    assert lines[0].endswith("passed")


@pytest.mark.slow
def test_a_small_ladder_is_climbed_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTUP_TORCH_THREADS", "1")
    what = ["--rungs", "50@40", "--seconds", "1", "--users", "30", "--sample", "5", "--preset", "sasrec"]
    main(["bench", "ladder", *what, "--out", str(tmp_path / "made"), "--record", str(tmp_path / "record")])
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    (rung,) = found["rungs"]
    assert (rung["errors"], rung["recall@10"], rung["served_by"]) == ({}, 1.0, {"model": 1.0})
    assert 10 < rung["rps"] < 90, "the rate, and not what the service could do"
    assert found["passed"] is (rung["p90_ms"] <= 50.0)
    assert rung["memory"]["uss"] <= rung["memory"]["pss"] <= rung["memory"]["rss"]
    kept = json.loads((tmp_path / "record" / "ladder.json").read_text())
    assert kept["result"] == found
    assert kept["machine"]["cores"] >= 1
    assert "items" in (tmp_path / "record" / "ladder.md").read_text()
