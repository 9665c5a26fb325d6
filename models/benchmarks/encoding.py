"""How fast runners turn histories into hidden vectors, and how near that is to what the processor can multiply.

Runners take turns, so that a machine that slows down slows all of them. It knows no preset and prints nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from models.batch import History
from models.runners.base import Runner

SGEMM_SIDE = 256  # its three matrices stay in a second-level cache, as a model's do


@dataclass(frozen=True, slots=True)
class EncodeRate:
    """Medians over rounds: sequences per second by the clock, and seconds of CPU per sequence."""

    per_second: float
    cpu_s: float


def measure_encode_rates(
    runners: Mapping[str, Runner], histories: Sequence[History], *, rounds: int, seconds: float
) -> dict[str, EncodeRate]:
    """Each runner `rounds` times for about `seconds`, in turn, after one time that is not measured."""
    calls = {name: _calls_in(seconds, _encoding(runner, histories)) for name, runner in runners.items()}
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            measured[name].append(_measured(_encoding(runner, histories), calls[name]))
    return {
        name: EncodeRate(
            len(histories) / median(wall for wall, _ in times), median(cpu for _, cpu in times) / len(histories)
        )
        for name, times in measured.items()
    }


def median_seconds(call: Callable[[], object], *, rounds: int) -> float:
    """Of CPU, for one call."""
    return median(_measured(call, 1)[1] for _ in range(rounds))


def sgemm_flops(*, rounds: int, seconds: float) -> float:
    """Float32 operations per second of CPU of torch's own matrix product, on its threads."""
    a, b = torch.randn(2, SGEMM_SIDE, SGEMM_SIDE)
    calls = _calls_in(seconds, lambda: a @ b)
    return 2 * SGEMM_SIDE**3 / median(_measured(lambda: a @ b, calls)[1] for _ in range(rounds))


def _encoding(runner: Runner, histories: Sequence[History]) -> Callable[[], object]:
    return lambda: runner.encode(histories)


def _calls_in(seconds: float, call: Callable[[], object]) -> int:
    call()
    return max(1, round(seconds / max(_measured(call, 3)[0], 1e-7)))


def _measured(call: Callable[[], object], calls: int) -> tuple[float, float]:
    """Seconds per call: by the clock, and of this process's CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        call()
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls
