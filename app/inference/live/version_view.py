"""The live catalogue as one version sees it: masks over the indices of its catalogue."""

import numpy as np
from numpy.typing import NDArray

from app.inference.live.growing_array import GrowingArray
from app.inference.live.items import LiveItems
from app.inference.live.mask_cache import Mask, MaskCache
from models.catalogue.catalogue import Catalogue


class VersionView:
    """Follows `live` as long as the version exists. Masks are (num_items + 1,) and must not be changed."""

    def __init__(self, live: LiveItems, catalogue: Catalogue) -> None:
        self.live = live
        self.num_items = catalogue.num_items
        self._catalogue = catalogue
        self._indices = GrowingArray(np.int32)
        """Catalogue index of each row, 0 for an item that the version does not know."""
        self._rows = np.full(0, -1, dtype=np.int32)
        """Row of each catalogue index, −1 for an item without one; empty without rows."""
        self._members = MaskCache()
        self.available: Mask | None = None
        """Items that may be recommended; None while all of them may."""
        self._find_indices_of_new_rows()  # may be many; those that are added meanwhile follow in `refresh`
        live.attach(self)

    def refresh(self) -> None:
        """Take over changes; called by `live` only."""
        self._find_indices_of_new_rows()
        live = self.live
        unavailable = self._indices.values[~live.available.values]
        unavailable = unavailable[unavailable > 0]
        if len(unavailable):
            available = np.ones(self.num_items + 1, dtype=bool)
            available[unavailable] = False
            self.available = available
        else:
            self.available = None

    def find_category_members(self, name: str) -> Mask:
        """Return the items in a category, by their live categories where they have some."""
        return self._members.get_or_compute(name, self.live.revision, lambda: self._compute_members(name))

    def _compute_members(self, name: str) -> Mask:
        members = np.zeros(self.num_items + 1, dtype=bool)
        indices = self._catalogue.find_category_items(name)
        if indices is not None:
            members[indices] = True
        is_set = self.live.categories.has_value()
        if is_set.any():
            members &= ~self.to_items(is_set)
            members |= self.to_items(
                self.live.categories.match(lambda names: isinstance(names, tuple) and name in names)
            )
        return members

    @property
    def nbytes(self) -> int:
        """Bytes with the reserve for later rows."""
        return self._indices.nbytes + self._rows.nbytes

    def find_unknown_rows(self) -> NDArray[np.int64]:
        """Return the rows of listed items that the version does not know."""
        indices, listed_at = self._indices.values, self.live.listed_at.values
        count = min(len(indices), len(listed_at))
        return np.flatnonzero((indices[:count] == 0) & (listed_at[:count] > 0))

    def find_rows(self, indices: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the row of each item, −1 for an item without one."""
        rows = self._rows
        return rows[indices] if len(rows) else np.full(len(indices), -1, dtype=np.int32)

    def get_categories(self, index: int, row: int) -> tuple[str, ...]:
        """Return the live categories of the item in `row`, or those of training where it has none or no row."""
        names = self.live.categories.get(row) if row >= 0 else None
        return names if isinstance(names, tuple) else self._catalogue.get_categories(index)

    def to_items(self, rows: Mask) -> Mask:
        """(rows,) → (num_items + 1,): the items of the rows that are set."""
        mask = np.zeros(self.num_items + 1, dtype=bool)
        indices = self._indices.values
        count = min(len(rows), len(indices))  # rows may have been added since they were read
        mask[indices[:count][rows[:count]]] = True
        mask[0] = False
        return mask

    def _find_indices_of_new_rows(self) -> None:
        keys = self.live.keys.values[len(self._indices) :]
        if len(keys):
            indices = self._catalogue.keys.find_indices(keys).astype(np.int32)
            if not len(self._rows):
                self._rows = np.full(self.num_items + 1, -1, dtype=np.int32)
            self._rows[indices] = np.arange(len(self._indices), len(self._indices) + len(indices), dtype=np.int32)
            self._indices.extend(indices)
