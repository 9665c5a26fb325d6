"""Ranking metrics with one relevant item per case, computed from the rank of the target.

Ranks count from 0; the rank of a target outside the ranking is `NOT_RANKED`. All metrics are means over cases.
"""

import math

import numpy as np
from numpy.typing import NDArray

TargetRanks = NDArray[np.int64]

NOT_RANKED = np.iinfo(np.int64).max


def rank_targets(top: NDArray[np.int64], targets: NDArray[np.int64]) -> TargetRanks:
    """Find each target in its ranking: (N, k) items and (N,) targets → (N,) ranks; an unknown target (0) has none."""
    hits = (top == targets[:, None]) & (targets[:, None] > 0)
    return np.where(hits.any(1), hits.argmax(1), NOT_RANKED)


def hit_rate(ranks: TargetRanks, k: int) -> float:
    """HR@k: the share of cases whose target is in the top k."""
    return float(np.mean(ranks < k))


def ndcg(ranks: TargetRanks, k: int) -> float:
    """NDCG@k with one relevant item: 1 / log2(rank + 2) in the top k, else 0."""
    return float(np.mean(compute_ndcg_gains(ranks, k)))


def compute_ndcg_gains(ranks: TargetRanks, k: int) -> NDArray[np.float64]:
    """NDCG@k of each case: (N,)."""
    is_hit = ranks < k
    return np.where(is_hit, 1.0 / np.log2(np.where(is_hit, ranks, 0) + 2.0), 0.0)


def mrr(ranks: TargetRanks, k: int) -> float:
    """MRR@k: 1 / (rank + 1) in the top k, else 0."""
    is_hit = ranks < k
    return float(np.mean(np.where(is_hit, 1.0 / (np.where(is_hit, ranks, 0) + 1.0), 0.0)))


def drop_nan(values: dict[str, float]) -> dict[str, float | None]:
    """Replace NaN, which JSON does not have, by None."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def coverage(top: NDArray[np.int64], num_items: int) -> float:
    """The share of the catalogue that is recommended at least once: (N, k) items, 0 where there is none."""
    return float(np.count_nonzero(np.unique(top)) / num_items)
