"""95 % intervals of all means over cases, of models and of baselines: mean ± 1.96 standard errors.

A normal interval takes milliseconds for all metrics of 100,000 cases, where a bootstrap takes seconds. Differences of
two models have paired bootstrap intervals instead (models/evaluation/bootstrap.py).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.evaluate import CUTOFFS
from models.evaluation.metrics import TargetRanks, compute_ndcg_gains

Z = 1.96
Interval = list[float]
"""Low and high."""
METHODS = "95 % intervals: mean ± 1.96 standard errors, and paired bootstrap of differences"


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean over cases, and its interval, which one case does not have."""

    value: float
    interval: Interval | None

    def format_interval(self) -> str:
        return format_interval(self.interval)


def compute_mean(values: NDArray[np.float64]) -> Mean:
    """Mean of (N,) values between 0 and 1, at least one."""
    return Mean(float(values.mean()), compute_interval(values))


def compute_interval(values: NDArray[np.float64]) -> Interval | None:
    """Interval of the mean of (N,) values between 0 and 1, within these bounds; None for fewer than two."""
    if len(values) < 2:
        return None
    mean, error = float(values.mean()), Z * float(values.std(ddof=1)) / len(values) ** 0.5
    return [max(0.0, mean - error), min(1.0, mean + error)]


def compute_intervals(ranks: TargetRanks) -> dict[str, Interval | None]:
    """Intervals of HR, NDCG and MRR at all cutoffs, by the name of the metric."""
    reciprocal = 1.0 / (np.minimum(ranks, 1 << 40) + 1.0)
    gains = {
        f"{name}@{k}": values
        for k in CUTOFFS
        for name, values in (
            ("hr", (ranks < k).astype(np.float64)),
            ("ndcg", compute_ndcg_gains(ranks, k)),
            ("mrr", np.where(ranks < k, reciprocal, 0.0)),
        )
    }
    return {name: compute_interval(values) for name, values in gains.items()}


def format_interval(interval: Interval | None) -> str:
    return "not known" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
