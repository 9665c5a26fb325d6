"""Histories of queries as indices of a catalogue."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.inference.interfaces import ItemKeyIndex
from app.inference.popularity import Indices, drop_unknown, find_excluded
from app.inference.query import Query
from models.batch import NO_TIME, Times

NO_ITEMS: Indices = np.empty(0, dtype=np.int64)


class KnownHistories:
    """The histories of a batch as catalogue indices, 0 for items that the catalogue does not contain."""

    def __init__(self, catalogue: ItemKeyIndex, queries: Sequence[Query], substitutes: Indices = NO_ITEMS) -> None:
        """`substitutes` are the trained items that are read in place of the last ones of the catalogue.

        Explanations name the items that were read, so they are not substituted for a query with `explain`.
        """
        # One search for the keys of the whole batch, then split by history.
        self.queries = queries
        self._catalogue = catalogue
        self._first_new = catalogue.num_items - len(substitutes) + 1
        self.indices: list[Indices] = np.split(
            catalogue.keys.find_indices(np.concatenate([query.history for query in queries])),
            np.cumsum([len(query.history) for query in queries])[:-1],
        )
        self.seen_items = [drop_unknown(history) for history in self.indices]
        """The items of the catalogue in each history."""
        if len(substitutes):
            self.indices = [
                self._substitute(history, NO_ITEMS if query.explain else substitutes)
                for history, query in zip(self.indices, queries, strict=True)
            ]
        self.known_items = [drop_unknown(history) for history in self.indices] if len(substitutes) else self.seen_items
        """The items that the model reads, without the unknown ones."""
        self.rows = [row for row, items in enumerate(self.known_items) if len(items)]
        """Queries with at least one known item."""

    def select_known(self) -> list[Indices]:
        """Return the known items of `rows`."""
        return [self.known_items[row] for row in self.rows]

    def find_excluded(self, row: int) -> Indices:
        """Indices that the answer to a query must not contain; new items, too, if it excludes them or asks why."""
        query = self.queries[row]
        excluded = find_excluded(self._catalogue, self.seen_items[row], query)
        if query.includes_new_items and not query.explain:
            return excluded
        return np.concatenate((excluded, np.arange(self._first_new, self._catalogue.num_items + 1)))

    def find_unknown_positions(self, row: int) -> Indices:
        return np.flatnonzero(self.indices[row] == 0)

    def select_times(self) -> list[Times]:
        """Event times of the known items of `rows`."""
        return [self.read_times(row) for row in self.rows]

    def read_times(self, row: int) -> Times:
        """Event times of the known items of a row; NO_TIME for a history without times."""
        is_known = self.indices[row] > 0
        times = self.queries[row].read_times()
        return np.full(np.count_nonzero(is_known), NO_TIME, dtype=np.uint32) if times is None else times[is_known]

    def select_request_times(self) -> NDArray[np.uint32]:
        return np.array([self.queries[row].request_time for row in self.rows], dtype=np.uint32)

    def _substitute(self, history: Indices, substitutes: Indices) -> Indices:
        """Replace new items by their substitutes, by 0 without any."""
        is_new = history >= self._first_new
        if not is_new.any():
            return history
        replaced = history.copy()
        replaced[is_new] = substitutes[history[is_new] - self._first_new] if len(substitutes) else 0
        return replaced
