"""Ranking metrics of one relevant item per case, from the place at which it was answered.

A place is 0 for the first answer; a case whose target was not answered has place `MISSED`. All are means over cases.
"""

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]

MISSED = np.iinfo(np.int64).max


def places(top: NDArray[np.int64], targets: NDArray[np.int64]) -> Places:
    """(N, k) answers and (N,) targets → (N,) places."""
    hits = top == targets[:, None]
    return np.where(hits.any(1), hits.argmax(1), MISSED)


def hit_rate(places: Places, k: int) -> float:
    """HR@k: the share of cases answered within the first k."""
    return float(np.mean(places < k))


def ndcg(places: Places, k: int) -> float:
    """NDCG@k with one relevant item: 1 / log2(place + 2) within the first k, else 0."""
    return float(np.mean(gains(places, k)))


def gains(places: Places, k: int) -> NDArray[np.float64]:
    """What each case adds to NDCG@k: (N,)."""
    within = places < k
    return np.where(within, 1.0 / np.log2(np.where(within, places, 0) + 2.0), 0.0)


def mrr(places: Places, k: int) -> float:
    """MRR@k: 1 / (place + 1) within the first k, else 0."""
    within = places < k
    return float(np.mean(np.where(within, 1.0 / (np.where(within, places, 0) + 1.0), 0.0)))


def coverage(top: NDArray[np.int64], num_items: int) -> float:
    """The share of the catalogue that is answered to anybody: (N, k) answers, 0 where there was none."""
    answered = np.unique(top)
    return float(np.count_nonzero(answered) / num_items)
