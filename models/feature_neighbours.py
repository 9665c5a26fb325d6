"""Neighbours of an item by its features: the trained items that share most of its categories and attributes.

A feature counts by how alike its items are to the model: the mean cosine of pairs of their vectors, above that of all
items. A brand whose items are bought together counts, and one of random items hardly does, so that an attribute without
a meaning places no item (figures: `models/benchmarks/new_items.py`).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from models.predictor import Predictor

Indices = NDArray[np.int64]
Neighbours = tuple[Indices, NDArray[np.float32]]
"""Catalogue indices (K,) of trained items, and their weights (K,)."""
MAX_NEIGHBOURS = 15
"""The most popular of those that share most. More of them make a shorter mean, and fewer a less certain one."""
MAX_MEMBERS = 2000
"""Items of a feature that may be neighbours: its most popular ones."""
MAX_COMPARED = 200
"""Items of a feature whose vectors are compared, evenly spread over all of its items."""
UNIT = 100
"""Weights are whole numbers of hundredths, so that equal features have equal sums in every process."""


class FeatureWeights:
    """Weighs features by the vectors of their items, which are read under `lock`."""

    def __init__(self, predictor: Predictor, lock: AbstractContextManager[object] | None = None) -> None:
        self._predictor = predictor
        self._lock = lock or nullcontext()
        self._mean = self._compute_mean_cosine(np.arange(1, predictor.num_items + 1))

    def weigh(self, members: Indices) -> int:
        """Weigh a feature by its items, ascending; 1 for one that says nothing, or of a single item."""
        return max(1, round(UNIT * (self._compute_mean_cosine(members) - self._mean)))

    def _compute_mean_cosine(self, items: Indices) -> float:
        """Compute the mean cosine of all pairs of at most MAX_COMPARED of the items; 0 without a pair."""
        if len(items) < 2:
            return 0.0
        positions = np.linspace(0, len(items) - 1, min(len(items), MAX_COMPARED)).round().astype(np.int64)
        with self._lock:
            vectors = self._predictor.get_vectors(items[positions]).astype(np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        count = len(vectors)
        return float((np.square(vectors.sum(0)).sum() - np.square(vectors).sum()) / (count * (count - 1)))


def choose_neighbours(members: Sequence[Indices], weights: Sequence[int]) -> Neighbours | None:
    """Choose the items with the largest sum of weights, from the items of each feature; None if there are none."""
    if not any(map(len, members)):
        return None
    shared = np.repeat(np.asarray(weights, dtype=np.int64), [len(items) for items in members])
    indices, positions = np.unique(np.concatenate(members), return_inverse=True)
    sums = np.zeros(len(indices), dtype=np.int64)
    np.add.at(sums, positions, shared)
    nearest = indices[sums == sums.max()][:MAX_NEIGHBOURS]
    return nearest, np.ones(len(nearest), dtype=np.float32)
