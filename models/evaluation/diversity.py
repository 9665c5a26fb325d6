"""Metrics of the rankings themselves, whatever the targets are: coverage, novelty and popularity bias.

Novelty is the mean self-information of the recommended items, −log2 of their share of the training events. Popularity
bias compares the recommended items with the events in the same users' histories: by mean popularity rank, and by mean
popularity (training events of an item), whose relative difference is the popularity lift (Abdollahpouri 2020). The Gini
index says how unequally recommendations are spread over the catalogue: 0 equally, 1 all on one item.
"""

from typing import Any

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
    popularity = np.concatenate(([0.0], counts)).astype(np.float64)
    information = np.concatenate(([0.0], np.log2(max(1, counts.sum()) / np.maximum(1, counts))))
    num_recommended = max(1, np.count_nonzero(top))
    consumed = np.concatenate(cases.histories)
    popularity_of_histories = _average_over_users(popularity[consumed], cases)
    # Means of users first, so that every user weighs the same.
    popularity_of_top = float(np.mean(popularity[top].sum(axis=1) / np.maximum(1, np.count_nonzero(top, axis=1))))
    return {
        f"coverage@{CUTOFF}": coverage(top, len(counts)),
        f"novelty@{CUTOFF}": float(information[top].sum() / num_recommended),
        f"popularity_rank@{CUTOFF}": float(top.sum() / num_recommended),
        "popularity_rank_of_histories": _average_over_users(consumed, cases),
        f"popularity@{CUTOFF}": popularity_of_top,
        "popularity_of_histories": popularity_of_histories,
        f"popularity_lift@{CUTOFF}": popularity_of_top / popularity_of_histories - 1
        if popularity_of_histories
        else 0.0,
        f"gini@{CUTOFF}": compute_gini(np.bincount(top.ravel(), minlength=len(counts) + 1)[1:]),
    }


def _average_over_users(values: NDArray[Any], cases: Cases) -> float:
    """Mean over users of the means of their histories; `values` are those of all events in order."""
    lengths = [len(history) for history in cases.histories]
    sums = np.bincount(np.repeat(np.arange(len(lengths)), lengths), values, len(lengths))
    return float(np.mean(sums / np.maximum(1, lengths)))


def compute_gini(counts: NDArray[np.int64]) -> float:
    """Gini index of (n,) counts: 0 if all are equal, near 1 if one has everything; 0 without any."""
    total, size = int(counts.sum()), len(counts)
    if not total:
        return 0.0
    ranks = np.arange(1, size + 1)
    return float((2 * ranks - size - 1) @ np.sort(counts) / (size * total))
