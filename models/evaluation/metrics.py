"""Ranking metrics of one relevant item per case, from the place at which it was answered.

A place is 0 for the first answer; a case whose target was not answered has place `NOT_RANKED`. All are means over cases.
"""

import numpy as np
from numpy.typing import NDArray

TargetRanks = NDArray[np.int64]

NOT_RANKED = np.iinfo(np.int64).max


def target_ranks(top: NDArray[np.int64], targets: NDArray[np.int64]) -> TargetRanks:
    """(N, k) answers and (N,) targets → (N,) places."""
    hits = top == targets[:, None]
    return np.where(hits.any(1), hits.argmax(1), NOT_RANKED)


def hit_rate(target_ranks: TargetRanks, k: int) -> float:
    """HR@k: the share of cases answered within the first k."""
    return float(np.mean(target_ranks < k))


def ndcg(target_ranks: TargetRanks, k: int) -> float:
    """NDCG@k with one relevant item: 1 / log2(place + 2) within the first k, else 0."""
    return float(np.mean(compute_ndcg_gains(target_ranks, k)))


def compute_ndcg_gains(target_ranks: TargetRanks, k: int) -> NDArray[np.float64]:
    """What each case adds to NDCG@k: (N,)."""
    within = target_ranks < k
    return np.where(within, 1.0 / np.log2(np.where(within, target_ranks, 0) + 2.0), 0.0)


def mrr(target_ranks: TargetRanks, k: int) -> float:
    """MRR@k: 1 / (place + 1) within the first k, else 0."""
    within = target_ranks < k
    return float(np.mean(np.where(within, 1.0 / (np.where(within, target_ranks, 0) + 1.0), 0.0)))


def coverage(top: NDArray[np.int64], num_items: int) -> float:
    """The share of the catalogue that is answered to anybody: (N, k) answers, 0 where there was none."""
    answered = np.unique(top)
    return float(np.count_nonzero(answered) / num_items)
