"""Row numbers by item key: sorted arrays of 12 bytes per row, and a small dictionary of the newest rows."""

import numpy as np
from numpy.typing import NDArray

from models.catalogue.item_key import ItemKeys, KeyIndex

MAX_RECENT = 4096
"""Newest rows that are in the dictionary; beyond that they are merged into the sorted arrays."""


class RowIndex:
    """Numbers keys from 0 in the order in which they are added."""

    def __init__(self) -> None:
        self._sorted = KeyIndex(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int32))
        self._recent: dict[int, int] = {}
        self.count = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the sorted arrays."""
        return self._sorted.nbytes

    def find(self, keys: ItemKeys) -> NDArray[np.int64]:
        """(n,) keys → (n,) rows, −1 for a key that was not added."""
        rows = self._sorted.find_indices(keys) - 1 if len(self._sorted.keys) else np.full(len(keys), -1)
        if self._recent:
            for position in np.flatnonzero(rows < 0).tolist():
                rows[position] = self._recent.get(int(keys[position]), -1)
        return rows

    def add(self, keys: ItemKeys) -> NDArray[np.int64]:
        """Add the keys that are new, and return the rows of all of them."""
        rows = self.find(keys)
        for position in np.flatnonzero(rows < 0).tolist():
            row = self._recent.setdefault(int(keys[position]), self.count)
            self.count = max(self.count, row + 1)
            rows[position] = row
        if len(self._recent) > MAX_RECENT:
            self._merge_recent()
        return rows

    def _merge_recent(self) -> None:
        recent = np.fromiter(self._recent, dtype=np.uint64, count=len(self._recent))
        numbers = np.fromiter(self._recent.values(), dtype=np.int32, count=len(recent)) + 1
        order = np.argsort(recent)
        places = np.searchsorted(self._sorted.keys, recent[order])
        keys = np.insert(self._sorted.keys, places, recent[order])
        self._sorted = KeyIndex(keys, np.insert(self._sorted.indices, places, numbers[order]))
        self._recent = {}
