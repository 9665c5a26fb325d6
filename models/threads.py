"""Choose the number of compute threads by timing, because more threads than free cores are slower than one."""

import time
from collections.abc import Callable, Sequence

import torch

MIN_GAIN = 0.95
"""More threads must need less than this share of the time of fewer; otherwise they only take cores from others."""
ROUNDS = 3


def choose_threads(
    run: Callable[[], object],
    *,
    most: int | None = None,
    budget_s: float = 2.0,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Set torch's threads to the count for which `run` is fastest, and return it.

    `most` is the largest count, by default torch's own, which OMP_NUM_THREADS limits. Interleaved rounds after a
    warm-up, the best of each count; beyond `budget_s` seconds no further round starts.
    """
    counts = list_thread_counts(torch.get_num_threads() if most is None else most)
    deadline = clock() + budget_s
    seconds = dict.fromkeys(counts, float("inf"))
    if len(counts) > 1:
        run()
        for _ in range(ROUNDS):
            for count in counts:
                torch.set_num_threads(count)
                started_at = clock()
                run()
                seconds[count] = min(seconds[count], clock() - started_at)
            if clock() > deadline:
                break
    best = select_fewest_threads(counts, [seconds[count] for count in counts])
    torch.set_num_threads(best)
    return best


def list_thread_counts(most: int) -> list[int]:
    """List 1, 2, 4, … below `most`, and `most`."""
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), max(1, most)]


def select_fewest_threads(counts: Sequence[int], seconds: Sequence[float]) -> int:
    """Select the fastest of rising counts; each larger one must win by `MIN_GAIN`."""
    best = 0
    for number in range(1, len(counts)):
        if seconds[number] < MIN_GAIN * seconds[best]:
            best = number
    return counts[best]
