"""95 % intervals of the metrics of one evaluation: mean ± 1.96 standard errors over the cases.

A normal interval takes milliseconds for all metrics of 100,000 cases, where a bootstrap takes seconds. Comparisons of
two models have paired bootstrap intervals instead (models/evaluation/comparison.py).
"""

import numpy as np
from numpy.typing import NDArray

from models.evaluation.evaluate import CUTOFFS
from models.evaluation.metrics import TargetRanks, compute_ndcg_gains

Z = 1.96
Interval = list[float]
"""Low and high."""


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
