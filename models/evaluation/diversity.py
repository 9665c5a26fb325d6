"""Metrics of the rankings themselves, whatever the targets are: coverage, novelty and popularity bias.

Novelty is the mean self-information of the recommended items, −log2 of their share of the training events. Popularity
bias compares the mean popularity rank of the recommended items with that of the events in the same users' histories.
"""

import numpy as np
from numpy.typing import NDArray

from models.data.splits import Cases
from models.evaluation.metrics import coverage

CUTOFF = 10


def compute_diversity(recommended: NDArray[np.int64], cases: Cases, counts: NDArray[np.int64]) -> dict[str, float]:
    """Compute the metrics of the first ten of (N, k) recommended items, 0 past the last one.

    Popularity ranks count from 1, the most popular item; users weigh the same. An item without training events has the
    self-information of one event.
    """
    top = recommended[:, :CUTOFF]
    information = np.concatenate(([0.0], np.log2(max(1, counts.sum()) / np.maximum(1, counts))))
    num_recommended = max(1, np.count_nonzero(top))
    consumed = [float(history.mean()) for history in cases.histories]
    return {
        f"coverage@{CUTOFF}": coverage(top, len(counts)),
        f"novelty@{CUTOFF}": float(information[top].sum() / num_recommended),
        f"popularity_rank@{CUTOFF}": float(top.sum() / num_recommended),
        "popularity_rank_of_histories": float(np.mean(consumed)),
    }
