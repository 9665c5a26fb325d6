"""`nextup bench gpu`: floors that follow from bytes and operations, and its dry run on a CPU."""

import json
from pathlib import Path

import pytest
import torch

from app.commands.main import main
from models.benchmarks.roofline import Ceilings, DeviceWork, measure_ceilings, median_seconds

CEILINGS = Ceilings(100.0, {torch.float32: 1000.0, torch.bfloat16: 4000.0})


@pytest.mark.parametrize(
    ("work", "seconds", "bound"),
    [
        (DeviceWork(200, 1000), 2.0, "memory"),
        (DeviceWork(200, 3000), 3.0, "arithmetic"),
        (DeviceWork(200, 3000, torch.bfloat16), 2.0, "memory"),
    ],
)
def test_the_floor_is_the_larger_of_two_times(work: DeviceWork, seconds: float, bound: str) -> None:
    assert CEILINGS.compute_floor_s(work) == seconds
    assert CEILINGS.bound(work) == bound


def test_ceilings_are_measured_for_both_types() -> None:
    found = measure_ceilings(torch.device("cpu"), copy_bytes=1 << 16, side=32, rounds=2)
    assert found.copy_rate > 0
    assert set(found.matmul_rates) == {torch.float32, torch.bfloat16}
    assert "GB/s" in found.to_text()


def test_slow_work_is_not_repeated_beyond_its_budget() -> None:
    calls: list[None] = []
    assert median_seconds(lambda: calls.append(None), torch.device("cpu"), rounds=5, budget_s=0.0) > 0
    assert len(calls) == 3, "two to warm up and one that counts"


@pytest.mark.slow
def test_a_dry_run_has_a_line_for_everything_and_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--items", "500,2000", "--batches", "1,3", "--lengths", "5", "--rounds", "1"]
    assert main(["bench", "gpu", "--device", "cpu", *sizes, "--record", str(tmp_path)]) == 0
    out = capsys.readouterr().out.splitlines()
    found = json.loads(out[-1])
    assert len(out) == 4 + len(found["cases"])
    assert "a dry run on a CPU: no figure here says anything of a GPU" in out[-2]
    encoded = {(case["what"], case["who"], case["batch"]) for case in found["cases"] if case["length"]}
    runners = ("torch", "torch with eager, float32", "torch with eager, bfloat16")
    presets = ("encode blossom", "encode sasrec")
    assert encoded == {(name, who, batch) for name in presets for who in runners for batch in (1, 3)}
    scored = {(case["what"], case["who"], case["items"], case["batch"]) for case in found["cases"]}
    everything = [(form, items, batch) for form in ("full", "codes") for items in (500, 2000) for batch in (1, 3)]
    for form, items, batch in everything:
        assert {(f"score {form}", who, items, batch) for who in ("plain", "grouped")} <= scored
    for case in found["cases"]:
        assert case["share"] == pytest.approx(case["floor_ms"] / case["ms"], rel=0.05, abs=1e-3)
    assert json.loads((tmp_path / "gpu.json").read_text())["result"] == found
    assert "a dry run" in (tmp_path / "gpu.md").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_dry_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "gpu"]) == 1
    told = capsys.readouterr().err
    assert "device cuda was asked for" in told
    assert "--device cpu is the dry run" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--items", "many"], "--items is 'many'"),
        (["--batches", "0"], "--batches is '0'"),
        (["--lengths", ""], "--lengths is ''"),
        (["--rounds", "0"], "--rounds is 0"),
    ],
)
def test_what_makes_no_sense_is_told(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "gpu", "--device", "cpu", *words]) == 1
    assert told in capsys.readouterr().err
