"""`nextup bench encode`: what it counts, how runners take turns, and the command as it is typed."""

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


class Noting(Runner):
    """Computes nothing, and notes in a shared list that it was asked."""

    def __init__(self, name: str, noted: list[str]) -> None:
        self.name, self._noted = name, noted

    def encode(self, histories: Sequence[History], times: Sequence[Times] | None = None) -> Encoded:
        self._noted.append(self.name)
        return Encoded(torch.zeros(len(histories), 1), 0.0)


def test_runners_take_turns_and_the_clock_is_per_sequence() -> None:
    noted: list[str] = []
    runners = {name: Noting(name, noted) for name in ("a", "b")}
    rates = measure_encode_rates(runners, [np.array([1])] * 4, rounds=3, seconds=1e-9)
    assert noted == ["a"] * 4 + ["b"] * 4 + ["a", "b"] * 3
    assert all(rate.per_second > 4 for rate in rates.values())


def test_operations_are_those_of_the_arithmetic() -> None:
    """One position of two blocks: four projections, one pair seen, and the feed-forward."""
    model = build_model(preset("sasrec"), 9)
    assert count_operations(model, 1) == 2 * 2 * (4 * 64 * 64 + 2 * 64 + 2 * 64 * 256)
    gated = build_model(preset("blossom"), 9)
    assert count_operations(gated, 1) == 2 * 2 * (4 * 64 * 64 + 2 * 64 + 3 * 64 * 256 + 2 * 64 * 64)


def test_a_cone_needs_far_fewer_operations_and_grows_only_by_its_keys() -> None:
    dense, cone = (build_model(preset(name), 9) for name in ("sasrec", "blossom"))
    assert count_operations(cone, 200) < count_operations(dense, 200) / 4
    per_position = (count_operations(cone, 1100) - count_operations(cone, 1099)) / 2
    assert 64 * 64 <= per_position < 64 * 64 + 20 * 64 * 4
    with pytest.raises(ValueError, match="BlossomEncoder are not counted"):
        count_operations(build_model(preset("blossomrec"), 9), 5)


@pytest.mark.slow
def test_the_command_gives_a_table_and_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "encode", "--rounds", "1", "--seconds", "0.001", "--items", "50"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    found = json.loads(lines[-1])
    assert len(found["cases"]) == 12
    assert {case["preset"] for case in found["cases"]} == {"blossom", "sasrec"}
    assert all(case["torch_per_s"] > 0 for case in found["cases"])
    assert found["long_ms"]["sasrec"]["encode"][1] > found["long_ms"]["sasrec"]["encode"][0]
    assert found["sgemm_gflops"] > 0
    assert lines[0].split()[:3] == ["preset", "batch", "length"]


@pytest.mark.parametrize(
    ("option", "value"), [("--rounds", "0"), ("--seconds", "0"), ("--items", "0"), ("--threads", "0")]
)
def test_what_makes_no_sense_is_told_by_its_option(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "encode", option, value]) == 1
    assert f"{option} is 0" in capsys.readouterr().err
