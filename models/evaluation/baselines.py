"""Rank the evaluation cases by the baselines, for a bounded number of users and a bounded time.

Users are ranked in rounds that are spread over all of them, by every baseline in each round. When the time is over, the
users of the finished rounds are compared. The first round always runs, so that a comparison exists.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.baselines.base import Baseline, TrainingEvents
from models.baselines.registry import BASELINES
from models.data.dataset import Dataset
from models.data.splits import Cases, select_training_histories, select_training_times
from models.evaluation.evaluate import CUTOFFS
from models.evaluation.metrics import TargetRanks, rank_targets
from models.progress import progress

MAX_USERS = 20_000
"""Most users that are compared, evenly spaced."""
ROUND_USERS = 1_000
TIME_SHARE = 0.05
"""Share of the training time that the baselines may take."""
MIN_SECONDS = 10.0
"""Time that the baselines may take after a short training."""


@dataclass(frozen=True, slots=True)
class BaselineResults:
    """Rankings of the baselines on the same cases; `rows` (N,) number these among all cases, ascending.

    The dictionaries have an entry per baseline: `target_ranks` (N,), `recommended` (N, 20), and `seconds`, the
    CPU time for counting and ranking.
    """

    rows: NDArray[np.int64]
    target_ranks: dict[str, TargetRanks]
    recommended: dict[str, NDArray[np.int64]]
    seconds: dict[str, float]


def rank_baselines(
    dataset: Dataset,
    cases: Cases,
    *,
    keep_seen: bool = False,
    max_users: int = MAX_USERS,
    max_seconds: float | None = None,
    names: Sequence[str] = tuple(BASELINES),
    clock: Callable[[], float] = time.monotonic,
) -> BaselineResults:
    """Fit the baselines on the training part, and rank the targets of at most `max_users` of the cases."""
    deadline = np.inf if max_seconds is None else clock() + max_seconds
    fitted, seconds = _fit(dataset, names)
    rounds = _plan_rounds(len(cases), max_users)
    tops: dict[str, list[NDArray[np.int64]]] = {name: [] for name in names}
    with progress("baselines", sum(map(len, rounds)), "cases") as bar:
        for number, rows in enumerate(rounds):
            if number and clock() > deadline:
                rounds = rounds[:number]
                break
            histories = [cases.histories[row] for row in rows]
            for name, baseline in fitted.items():
                started_at = time.process_time()
                tops[name].append(baseline.rank(histories, CUTOFFS[-1], excluded=None if keep_seen else histories))
                seconds[name] += time.process_time() - started_at
            bar.advance(len(rows))
    rows = np.concatenate(rounds)
    order = np.argsort(rows)
    recommended = {name: np.concatenate(tops[name])[order] for name in names}
    target_ranks = {name: rank_targets(recommended[name], cases.targets[rows[order]]) for name in names}
    return BaselineResults(rows[order], target_ranks, recommended, seconds)


def compute_time_limit(training_s: float) -> float:
    """Seconds that the baselines may take after a training of that length."""
    return max(MIN_SECONDS, TIME_SHARE * training_s)


def _fit(dataset: Dataset, names: Sequence[str]) -> tuple[dict[str, Baseline], dict[str, float]]:
    times = select_training_times(dataset)
    events = TrainingEvents.from_histories(select_training_histories(dataset), dataset.catalogue.num_items, times)
    fitted: dict[str, Baseline] = {}
    seconds: dict[str, float] = {}
    for name in names:
        started_at = time.process_time()
        fitted[name] = BASELINES[name].fit(events)
        seconds[name] = time.process_time() - started_at
    return fitted, seconds


def _plan_rounds(num_cases: int, max_users: int) -> list[NDArray[np.int64]]:
    """Deal evenly spaced cases to rounds of about `ROUND_USERS`, each spread over all users."""
    rows = np.linspace(0, num_cases - 1, min(num_cases, max_users)).astype(np.int64)
    num_rounds = max(1, -(-len(rows) // ROUND_USERS))
    return [rows[number::num_rounds] for number in range(num_rounds)]
