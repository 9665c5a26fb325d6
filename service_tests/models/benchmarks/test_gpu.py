"""`nextup bench gpu`: roofline floors, and the dry run on a CPU."""

import json
from pathlib import Path

import pytest
import torch

from app.commands.main import main
from models.benchmarks.roofline import Ceilings, DeviceWork, measure_ceilings, measure_device_seconds

CEILINGS = Ceilings(100.0, {torch.float32: 1000.0, torch.bfloat16: 4000.0})


@pytest.mark.parametrize(
    ("work", "seconds", "bound"),
    [
        (DeviceWork(200, 1000), 2.0, "memory"),
        (DeviceWork(200, 3000), 3.0, "arithmetic"),
        (DeviceWork(200, 3000, torch.bfloat16), 2.0, "memory"),
    ],
)
def test_floor_is_the_larger_of_two_times(work: DeviceWork, seconds: float, bound: str) -> None:
    assert CEILINGS.compute_floor_s(work) == seconds
    assert CEILINGS.find_bound(work) == bound


def test_ceilings_cover_both_types() -> None:
    ceilings = measure_ceilings(torch.device("cpu"), copy_bytes=1 << 16, side=32, rounds=2)
    assert ceilings.copy_rate > 0
    assert set(ceilings.matmul_rates) == {torch.float32, torch.bfloat16}
    assert "GB/s" in ceilings.to_text()


def test_slow_work_is_not_repeated_beyond_the_budget() -> None:
    calls: list[None] = []
    assert measure_device_seconds(lambda: calls.append(None), torch.device("cpu"), rounds=5, budget_s=0.0) > 0
    assert len(calls) == 3, "two warm-ups and one measured call"


@pytest.mark.process
@pytest.mark.slow
def test_dry_run_covers_all_cases_and_is_labeled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--items", "500,2000", "--batches", "1,3", "--lengths", "5", "--rounds", "1"]
    assert main(["bench", "gpu", "--device", "cpu", *sizes, "--record", str(tmp_path)]) == 0
    out = capsys.readouterr().out.splitlines()
    result = json.loads(out[-1])
    assert len(out) == 4 + len(result["cases"])
    assert "dry run on a CPU: these numbers do not apply to a GPU" in out[-2]
    encoded = {(case["what"], case["who"], case["batch"]) for case in result["cases"] if case["length"]}
    runners = ("torch", "torch with eager, float32", "torch with eager, bfloat16")
    presets = ("encode blossom", "encode sasrec")
    assert encoded == {(name, runner, batch) for name in presets for runner in runners for batch in (1, 3)}
    scored = {(case["what"], case["who"], case["items"], case["batch"]) for case in result["cases"]}
    expected = [(form, items, batch) for form in ("full", "codes") for items in (500, 2000) for batch in (1, 3)]
    for form, items, batch in expected:
        assert {(f"score {form}", scorer, items, batch) for scorer in ("plain", "grouped")} <= scored
    for case in result["cases"]:
        assert case["share"] == pytest.approx(case["floor_ms"] / case["ms"], rel=0.05, abs=1e-3)
    assert json.loads((tmp_path / "gpu.json").read_text())["result"] == result
    assert "dry run" in (tmp_path / "gpu.md").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_error_suggests_the_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "gpu"]) == 1
    error = capsys.readouterr().err
    assert "cuda" in error
    assert "use --device cpu for a dry run" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--items", "many"], "--items takes values separated by commas, and each must be a whole number (got 'many')"),
        (["--batches", "0"], "--batches takes values separated by commas, and each must be at least 1 (got 0)"),
        (["--lengths", ""], "--lengths takes values separated by commas, and each must be a whole number (got '')"),
        (["--rounds", "0"], "--rounds must be at least 1 (got 0)"),
    ],
)
def test_invalid_option_error_states_option_and_value(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "gpu", "--device", "cpu", *options]) == 1
    assert message in capsys.readouterr().err
