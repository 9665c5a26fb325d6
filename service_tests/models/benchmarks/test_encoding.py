"""`nextup bench encode`: operation counts, interleaved runners, and the command."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from app.commands.main import main
from models.batch import History, Times
from models.benchmarks.encoding import measure_encode_rates
from models.benchmarks.flops import count_operations
from models.build import build_model
from models.presets import preset
from models.runners.base import Encoded, Runner


class RecordingRunner(Runner):
    """Computes nothing and appends its name to a shared list of calls."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self._calls = name, calls

    def encode(
        self,
        histories: Sequence[History],
        times: Sequence[Times] | None = None,
        request_times: Times | None = None,
    ) -> Encoded:
        self._calls.append(self.name)
        return Encoded(torch.zeros(len(histories), 1), 0.0)


def test_runners_are_interleaved_and_rates_are_per_sequence() -> None:
    calls: list[str] = []
    runners = {name: RecordingRunner(name, calls) for name in ("a", "b")}
    rates = measure_encode_rates(runners, [np.array([1])] * 4, rounds=3, seconds=1e-9)
    assert calls == ["a"] * 4 + ["b"] * 4 + ["a", "b"] * 3
    assert all(rate.per_second > 4 for rate in rates.values())


def test_operation_counts_match_the_arithmetic() -> None:
    """One position of two blocks: four projections, one attended pair, and the feed-forward."""
    model = build_model(preset("sasrec"), 9)
    assert count_operations(model, 1) == 2 * 2 * (4 * 64 * 64 + 2 * 64 + 2 * 64 * 256)
    gated = build_model(preset("blossom"), 9)
    assert count_operations(gated, 1) == 2 * 2 * (4 * 64 * 64 + 2 * 64 + 3 * 64 * 256 + 2 * 64 * 64)


def test_cone_needs_fewer_operations_and_grows_only_by_its_keys() -> None:
    dense, cone = (build_model(preset(name), 9) for name in ("sasrec", "blossom"))
    assert count_operations(cone, 200) < count_operations(dense, 200) / 4
    per_position = (count_operations(cone, 1100) - count_operations(cone, 1099)) / 2
    assert 64 * 64 <= per_position < 64 * 64 + 20 * 64 * 4
    with pytest.raises(ValueError, match="cannot count operations of encoder BlossomEncoder"):
        count_operations(build_model(preset("blossomrec"), 9), 5)


@pytest.mark.slow
def test_command_reports_a_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "encode", "--rounds", "1", "--seconds", "0.001", "--items", "50"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    result = json.loads(lines[-1])
    assert len(result["cases"]) == 12
    assert {case["preset"] for case in result["cases"]} == {"blossom", "sasrec"}
    assert all(case["torch_per_s"] > 0 for case in result["cases"])
    assert result["long_ms"]["sasrec"]["encode"][1] > result["long_ms"]["sasrec"]["encode"][0]
    assert result["sgemm_gflops"] > 0
    assert lines[0].split()[:3] == ["preset", "batch", "length"]


@pytest.mark.parametrize(
    ("option", "value"), [("--rounds", "0"), ("--seconds", "0"), ("--items", "0"), ("--threads", "0")]
)
def test_invalid_option_error_states_option_and_value(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "encode", option, value]) == 1
    error = capsys.readouterr().err
    assert f"{option} must be at least" in error
    assert "(got 0)" in error
