"""Followers of items in the memory-mapped transition memory of an artifact, for processes without the model."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.mmap_safetensors import mmap_array
from models.transitions.codec import PROBABILITIES, count_index_bytes, unpack_indices

TENSOR = "transitions.rows"
MAX_ITEMS = 10
"""Newest items of a history whose followers count."""


class Followers:
    def __init__(self, rows: NDArray[np.uint8], num_items: int) -> None:
        """`rows` (num_items + 1, bytes) as in models/transitions/memory.py; ValueError for another shape."""
        self._index_bytes = count_index_bytes(num_items)
        num_followers, remainder = divmod(rows.shape[-1] - 1, self._index_bytes + 1)
        if rows.ndim != 2 or len(rows) != num_items + 1 or remainder or not num_followers:
            raise ValueError(f"the transition memory has shape {rows.shape}, which does not fit {num_items} items")
        self._rows = rows
        self._num_items = num_items
        self._num_followers = num_followers

    def rank(self, history: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rank the items that followed the newest items of a history, which is oldest first, in training.

        Returns the items by falling weight, ties in catalogue order, and the weights: the sum of their probabilities
        after each item of the history, divided by its position from the end.
        """
        newest = history[-MAX_ITEMS:][::-1]
        rows = self._rows[newest]
        split = self._num_followers * self._index_bytes
        followers = unpack_indices(rows[:, :split], self._num_followers)
        weights = PROBABILITIES[rows[:, split:-1]] / np.arange(1, len(newest) + 1, dtype=np.float32)[:, None]
        is_item = (followers > 0) & (followers <= self._num_items) & (weights > 0)
        items, positions = np.unique(followers[is_item], return_inverse=True)
        sums = np.bincount(positions, weights=weights[is_item], minlength=len(items)).astype(np.float32)
        order = np.lexsort((items, -sums))
        return items[order], sums[order]


def open_followers(weights: Path, num_items: int) -> Followers | None:
    """Map the followers of a file of weights; None for a model without them.

    ValueError if the file is not readable. Do not change the file in place while the followers are in use.
    """
    rows = mmap_array(weights, TENSOR)
    return None if rows is None else Followers(rows.view(np.uint8), num_items)
