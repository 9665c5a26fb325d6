"""Throughput of runners from histories to hidden vectors, and the processor's matrix-product rate as the reference.

Runners are measured interleaved.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

import torch

from models.batch import History
from models.benchmarks.timing import run_interleaved
from models.runners.base import Runner

SGEMM_SIDE = 256  # its three matrices fit in a second-level cache, as a model's do
MIN_CALL_S = 1e-7
CALIBRATION_CALLS = 3


@dataclass(frozen=True, slots=True)
class EncodeRate:
    """Medians over rounds: sequences per second of wall time, and CPU seconds per sequence."""

    per_second: float
    cpu_s: float


class CallTime(NamedTuple):
    """Seconds per call: wall time, and CPU time of this process."""

    wall_s: float
    cpu_s: float


def measure_encode_rates(
    runners: Mapping[str, Runner], histories: Sequence[History], *, rounds: int, seconds: float
) -> dict[str, EncodeRate]:
    """Run each runner `rounds` times for about `seconds`, interleaved, after an unmeasured warm-up."""
    encoders = {name: partial(runner.encode, histories) for name, runner in runners.items()}
    runs = {name: partial(_time_calls, encode, _count_calls(seconds, encode)) for name, encode in encoders.items()}
    return {
        name: EncodeRate(
            len(histories) / median(each.wall_s for each in times),
            median(each.cpu_s for each in times) / len(histories),
        )
        for name, times in run_interleaved(runs, rounds).items()
    }


def measure_sgemm_flops(*, rounds: int, seconds: float) -> float:
    """Measure float32 operations per CPU second of torch's matrix product, on its threads."""
    a, b = torch.randn(2, SGEMM_SIDE, SGEMM_SIDE)
    calls = _count_calls(seconds, lambda: a @ b)
    return 2 * SGEMM_SIDE**3 / median(_time_calls(lambda: a @ b, calls).cpu_s for _ in range(rounds))


def _count_calls(seconds: float, call: Callable[[], object]) -> int:
    """Estimate how many calls take `seconds`, after one warm-up call."""
    call()
    return max(1, round(seconds / max(_time_calls(call, CALIBRATION_CALLS).wall_s, MIN_CALL_S)))


def _time_calls(call: Callable[[], object], calls: int) -> CallTime:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        call()
    return CallTime((time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls)
