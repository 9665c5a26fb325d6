"""Metrics of parts of the cases: by history length, by popularity of the target, and for new items."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.data.splits import Cases
from models.evaluation.metrics import TargetRanks, hit_rate, ndcg

LENGTH_EDGES = (5, 10, 20, 50, 200)
"""Largest history lengths of the groups; the last group has no limit."""
HEAD_SHARE, TORSO_SHARE = 0.5, 0.8
"""Head items have the first half of all training events, torso items those up to 80 %, tail items the remainder."""

Segments = dict[str, dict[str, float]]


def compute_segments(target_ranks: TargetRanks, cases: Cases, counts: NDArray[np.int64]) -> Segments:
    """Compute NDCG@10, HR@10 and the number of cases of every group that has any.

    `counts` (num_items,) are training events in catalogue order. A target without training events is new; one outside
    the catalogue is new, too, and is missed.
    """
    return {
        name: {
            "cases": int(is_member.sum()),
            "ndcg@10": ndcg(target_ranks[is_member], 10),
            "hr@10": hit_rate(target_ranks[is_member], 10),
        }
        for name, is_member in _iter_groups(cases, counts)
        if is_member.any()
    }


def classify_items(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classify items by popularity: (num_items + 1,), 0 head, 1 torso, 2 tail, 3 new; index 0 is an unknown item."""
    share_before = (np.cumsum(counts) - counts) / max(1, counts.sum())
    classes = np.searchsorted((HEAD_SHARE, TORSO_SHARE), share_before, side="right")
    return np.concatenate(([3], np.where(counts > 0, classes, 3)))


def _iter_groups(cases: Cases, counts: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    lengths = np.array([len(history) for history in cases.histories])
    least = 1
    for most in LENGTH_EDGES:
        yield f"history {least}-{most}", (lengths >= least) & (lengths <= most)
        least = most + 1
    yield f"history {least}+", lengths >= least
    classes = classify_items(counts)[cases.targets]
    for number, name in enumerate(("head", "torso", "tail", "new")):
        yield f"{name} items", classes == number
