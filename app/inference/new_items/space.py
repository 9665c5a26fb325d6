"""Keys, masks and filters over a version's items and its new items together, as searches read them.

New item n, from 0, has index num_items + 1 + n. Whatever the live catalogue says about new items is read from its
columns at the moment of the search, as for all other items.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.inference.filters.masks import FilterMasks
from app.inference.live.items import LiveItems
from app.inference.live.mask_cache import Mask, MaskCache
from app.inference.live.version_view import VersionView
from models.catalogue.catalogue import Catalogue
from models.catalogue.item_key import ItemKeys, KeyIndex

Indices = NDArray[np.int64]


class ExtendedKeys(KeyIndex):
    """Finds the items of a catalogue, and new items behind them."""

    def __init__(self, trained: KeyIndex, num_trained: int, new_keys: ItemKeys) -> None:
        super().__init__(trained.keys, trained.indices)
        order = np.argsort(new_keys)
        self._new = KeyIndex(new_keys[order], (order + num_trained + 1).astype(np.int32))

    def find_indices(self, keys: ItemKeys) -> Indices:
        indices = super().find_indices(keys)
        is_unknown = indices == 0
        if is_unknown.any():
            indices[is_unknown] = self._new.find_indices(keys[is_unknown])
        return indices


class ExtendedCatalogue:
    """The parts of a catalogue that a search reads; `new_ids` are the ids of new items, in order."""

    def __init__(self, trained: Catalogue, new_ids: Sequence[str], new_keys: ItemKeys) -> None:
        self.num_trained = trained.num_items
        self.num_items = trained.num_items + len(new_ids)
        self.keys = ExtendedKeys(trained.keys, trained.num_items, new_keys)
        self.new_indices: Indices = np.arange(self.num_trained + 1, self.num_items + 1)
        self._new_ids = new_ids

    def get_new_ids(self, indices: Sequence[int]) -> dict[int, str]:
        """Return the ids of those of `indices` that are new items."""
        return {index: self._new_ids[index - self.num_trained - 1] for index in indices if index > self.num_trained}


class ExtendedView(VersionView):
    """The view of a version, extended by the rows of new items in the live catalogue."""

    def __init__(self, trained: VersionView, rows: NDArray[np.int64]) -> None:
        # The constructor of VersionView is not called: all columns and indices are those of `trained`.
        self.live: LiveItems = trained.live
        self.num_items = trained.num_items + len(rows)
        self._trained = trained
        self._new_rows = rows
        self._members = MaskCache()
        self._joined: tuple[Mask | None, Mask, Mask] | None = None
        """The masks of trained and new items, and both together, which the queries of a batch share."""

    @property
    def available(self) -> Mask | None:  # type: ignore[override]  # the view of a version sets it
        """Items that may be recommended; None while all of them may."""
        trained, new = self._trained.available, self.live.available.values[self._new_rows]
        if trained is None and new.all():
            return None
        joined = self._joined
        if joined is None or joined[0] is not trained or not np.array_equal(joined[1], new):
            ones = np.ones(self._trained.num_items + 1, dtype=bool) if trained is None else trained
            joined = self._joined = trained, new, np.concatenate((ones, new))
        return joined[2]

    def find_category_members(self, name: str) -> Mask:
        return self._members.get_or_compute(name, self.live.revision, lambda: self._compute_members(name))

    def _compute_members(self, name: str) -> Mask:
        names = [self.live.categories.get(row) for row in self._new_rows.tolist()]
        is_member = [isinstance(part, tuple) and name in part for part in names]
        return np.concatenate((self._trained.find_category_members(name), is_member))

    def find_rows(self, indices: Indices) -> NDArray[np.int32]:
        is_new = indices > self._trained.num_items
        rows = self._trained.find_rows(np.where(is_new, 0, indices))
        rows[is_new] = self._new_rows[indices[is_new] - self._trained.num_items - 1]
        return rows

    def get_categories(self, index: int, row: int) -> tuple[str, ...]:
        if index <= self._trained.num_items:
            return self._trained.get_categories(index, row)
        names = self.live.categories.get(row)
        return names if isinstance(names, tuple) else ()

    def to_items(self, rows: Mask) -> Mask:
        is_set = np.zeros(len(self._new_rows), dtype=bool)
        present = self._new_rows < len(rows)  # a column may have fewer rows than there are
        is_set[present] = rows[self._new_rows[present]]
        return np.concatenate((self._trained.to_items(rows), is_set))


class ExtendedSpace:
    """The parts that `build_allow_mask` and rankings under rules read, over a version's items and new items."""

    def __init__(
        self,
        catalogue: Catalogue,
        view: VersionView,
        rows: NDArray[np.int64],
        new_ids: Sequence[str],
    ) -> None:
        """`rows` are those of the new items in the live catalogue."""
        self.catalogue = ExtendedCatalogue(catalogue, new_ids, view.live.keys.values[rows])
        self.live = ExtendedView(view, rows)
        self.filters = FilterMasks(self.live)
