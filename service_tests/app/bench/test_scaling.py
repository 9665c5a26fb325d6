"""Steps of the scaling benchmark: parsing, pass criteria, the table, and a small run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.bench.resources import ProcessMemory
from app.bench.scaling import ScaleResult, ScaleStep, format_scaling_table
from app.bench.serve.report import summarize_rounds
from app.bench.serve.rounds import Round
from app.cli.arguments import InvalidText
from app.commands.main import main
from service_tests.app.bench.load.load_results import make_result
from service_tests.support.html_pages import parse_html

pytestmark = pytest.mark.process

SERVED_BY_MODEL = {"model": 100}


def make_step_result(
    *latencies_s: float, errors: dict[str, int] | None = None, served_by: dict[str, int] | None = None
) -> ScaleResult:
    result = make_result(
        len(latencies_s),
        latencies_s=np.array(latencies_s),
        failures=errors,
        served_by=served_by or SERVED_BY_MODEL,
    )
    memory = ProcessMemory(pss=3_000_000_000, uss=2_000_000_000, rss=9_000_000_000)
    return ScaleResult(
        ScaleStep(1000, 10.0), summarize_rounds("recommend", [Round(result, None)]), memory, memory, 80_000, 1.5, 1.0
    )


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("10k@100", ScaleStep(10_000, 100.0)),
        (" 1M@500", ScaleStep(1_000_000, 500.0)),
        ("1500@0.5", ScaleStep(1500, 0.5)),
    ],
)
def test_step_parses_size_and_rate(text: str, step: ScaleStep) -> None:
    assert ScaleStep.parse(text) == step


@pytest.mark.parametrize("text", ["", "10k", "k@1", "10k@", "10k@0", "10@1", "1m@-1", "1m@nan", "10g@1", "infk@1"])
def test_invalid_step_raises(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidText):
        ScaleStep.parse(text)
    assert main(["bench", "scaling", "--steps", f"10k@100,{text}"]) == 1
    assert "--steps takes values separated by commas, and each must" in capsys.readouterr().err


def test_step_passes_at_the_latency_target_and_fails_above() -> None:
    assert make_step_result(*[0.04] * 19, 2.0).failure_reasons == [], "one in twenty may be slow"
    assert make_step_result(*[0.04] * 7, *[0.06] * 3).failure_reasons == ["p90 of 60.0 ms is above 50 ms"]


def test_errors_fallbacks_and_low_recall_fail_a_step() -> None:
    assert make_step_result(0.01, errors={"timeout": 2}).failure_reasons == ["errors: 2 timeout"]
    fallbacks = make_step_result(0.01, served_by={"model": 90, "popularity": 10})
    assert fallbacks.failure_reasons == ["only 90.0% served by the model"]
    assert "no responses" in make_step_result().failure_reasons
    assert replace(make_step_result(0.01), recall=0.985).failure_reasons == ["recall@10 of 0.985 is below 0.99"]


def test_table_has_a_line_per_step() -> None:
    result = make_step_result(0.01)
    large = replace(result, step=ScaleStep(10_000_000, 1000.0), recall=None)
    head, *lines = format_scaling_table([result, large]).splitlines()
    assert len(lines) == 2
    columns = head.replace(" ms", "_ms").replace(" MB", "_MB").replace(" s", "_s").split()
    values = dict(zip(columns, lines[0].split(), strict=False))
    assert (values["items"], values["PSS_MB"], values["USS_MB"]) == ("1,000", "3,000", "2,000")
    assert lines[0].endswith("passed")


@pytest.mark.slow
def test_command_runs_and_records_a_small_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTUP_TORCH_THREADS", "1")
    options = ["--steps", "50@40", "--seconds", "1", "--users", "30", "--sample", "5", "--preset", "sasrec"]
    options += ["--report", str(tmp_path / "report.html")]
    main(["bench", "scaling", *options, "--out", str(tmp_path / "artifacts"), "--record", str(tmp_path / "record")])
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    (step,) = result["rungs"]
    assert (step["errors"], step["recall@10"], step["served_by"]) == ({}, 1.0, {"model": 1.0})
    assert 10 < step["rps"] < 90, "the rate, not the capacity of the service"
    assert result["passed"] is (step["p90_ms"] <= 50.0)
    assert step["memory"]["uss"] <= step["memory"]["pss"] <= step["memory"]["rss"]
    stored = json.loads((tmp_path / "record" / "scaling.json").read_text())
    assert stored["result"] == result
    assert stored["machine"]["cores"] >= 1
    assert "items" in (tmp_path / "record" / "scaling.md").read_text()
    page = parse_html((tmp_path / "report.html").read_text())
    assert page.tables["Scaling table"][1][0] == "50"
    assert page.tables["Latency by catalogue size"][1] == [
        "50 items at 40/s",
        *(f"{step[f'p{q}_ms']:,.2f}" for q in (50, 90, 99)),
    ]
