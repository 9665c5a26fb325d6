"""Timing helpers that all benchmarks share: interleaved rounds and medians."""

import math
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import TypeVar

Result = TypeVar("Result")


def run_interleaved(
    runs: Mapping[str, Callable[[], Result]],
    rounds: int,
    on_result: Callable[[str, Result], None] | None = None,
) -> dict[str, list[Result]]:
    """Call every run once per round (A, B, A, B, …); a slow machine then affects all of them.

    Returns a list of results per name, in the order of the rounds; `on_result` is called after each.
    """
    results: dict[str, list[Result]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            result = run()
            results[name].append(result)
            if on_result is not None:
                on_result(name, result)
    return results


def measure_median_seconds(
    call: Callable[[], object],
    *,
    rounds: int,
    warm_ups: int,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], None] = lambda: None,
    budget_s: float = math.inf,
) -> float:
    """Measure the median seconds of one call on `clock`, including `synchronize` for an asynchronous device.

    At least one round runs, and no further round starts after `budget_s` seconds of wall time.
    """
    for _ in range(warm_ups):
        call()
    synchronize()
    seconds: list[float] = []
    deadline = time.perf_counter() + budget_s
    while not seconds or (len(seconds) < rounds and time.perf_counter() < deadline):
        started_at = clock()
        call()
        synchronize()
        seconds.append(clock() - started_at)
    return median(seconds)
