"""Columns of the live catalogue with a row per item, whatever version serves.

The event loop applies changes while batches in other threads read. Values are replaced in place and rows are only
added, so a reader sees each value either before or after a change.
"""

import threading
import weakref
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from app.inference.live.attributes import AttributeColumns, Attributes
from app.inference.live.cooccurrences import Cooccurrences
from app.inference.live.dictionary_column import DictionaryColumn
from app.inference.live.growing_array import GrowingArray
from app.inference.live.growing_strings import GrowingStrings
from app.inference.live.row_index import RowIndex
from models.catalogue.item_key import item_keys

Categories = tuple[str, ...] | None


class LiveRow(NamedTuple):
    """`categories` None: those of the model's catalogue. An item without a record has the default row."""

    available: bool = True
    categories: Categories = None
    attributes: Attributes = MappingProxyType({})
    is_listed: bool = False
    """Whether the item has a record."""


class ChangeListener(Protocol):
    """Is refreshed after every change, in the step that makes it."""

    @property
    def nbytes(self) -> int: ...

    def refresh(self) -> None: ...


class LiveItems:
    """Starts empty; an item that is not here is as in training. `revision` rises with every change."""

    def __init__(self) -> None:
        self.keys = GrowingArray(np.uint64)
        """Item keys, in the order of the rows."""
        self.available = GrowingArray(np.bool_)
        self.listed_at = GrowingArray(np.int64)
        """Position of the last change among all changes, 0 for an item without a record."""
        self.categories = DictionaryColumn(None)
        """Tuples; None = those of the model's catalogue."""
        self.attributes = AttributeColumns()
        self.cooccurrences = Cooccurrences()
        """Items before new items in histories."""
        self.revision = 0
        self._ids = GrowingStrings()
        self._num_changes = 0
        self._rows = RowIndex()
        self._lock = threading.Lock()
        self._listeners: weakref.WeakSet[ChangeListener] = weakref.WeakSet()

    @property
    def count(self) -> int:
        """Number of rows, those of items whose record was removed included."""
        return len(self.keys)

    @property
    def num_unavailable(self) -> int:
        return int(self.count - np.count_nonzero(self.available.values))

    @property
    def nbytes(self) -> int:
        """Bytes of the columns and of the listeners, which are the views of versions."""
        with self._lock:
            listeners = sum(listener.nbytes for listener in self._listeners)
        return (
            listeners
            + self.keys.nbytes
            + self.available.nbytes
            + self.listed_at.nbytes
            + self._ids.nbytes
            + self.categories.nbytes
            + self.attributes.nbytes
            + self._rows.nbytes
        )

    def get_item_id(self, row: int) -> str:
        return self._ids.get(row)

    def is_listed(self, item_id: str) -> bool:
        """Whether the item has a record."""
        row = int(self._rows.find(item_keys([item_id]))[0])
        return row >= 0 and bool(self.listed_at.values[row])

    def apply(self, rows: Mapping[str, LiveRow]) -> NDArray[np.int64]:
        """Set the rows of items by their ids, and return the numbers of these rows."""
        if not rows:
            return np.empty(0, dtype=np.int64)
        with self._lock:
            keys = item_keys(rows)
            numbers = self._rows.add(keys)
            is_new = numbers >= self.count
            _, positions = np.unique(numbers[is_new], return_index=True)
            item_ids = list(rows)
            self._ids.extend([item_ids[position] for position in np.flatnonzero(is_new)[positions].tolist()])
            self.keys.extend(keys[is_new][positions])
            self.available.extend_to(self.count, True)
            self.listed_at.extend_to(self.count, 0)
            self.categories.extend_to(self.count)
            self.available.values[numbers] = [row.available for row in rows.values()]
            moments = range(self._num_changes + 1, self._num_changes + len(rows) + 1)
            is_listed = [row.is_listed for row in rows.values()]
            self.listed_at.values[numbers] = np.where(is_listed, moments, 0)
            self._num_changes += len(rows)
            self.categories.set(numbers, [row.categories for row in rows.values()])
            self.attributes.set(numbers, [row.attributes for row in rows.values()], self.count)
            self._announce_change()
        return numbers

    def reset_except(self, numbers: NDArray[np.int64]) -> None:
        """Give the default row to all items but those in the rows of these numbers."""
        with self._lock:
            is_reset = np.ones(self.count, dtype=bool)
            is_reset[numbers] = False
            self.available.values[is_reset] = True
            self.listed_at.values[is_reset] = 0
            self.categories.reset(is_reset)
            self.attributes.reset(is_reset)
            self._announce_change()

    def attach(self, listener: ChangeListener) -> None:
        """Refresh the listener now and after every change, until nothing else refers to it."""
        with self._lock:
            self._listeners.add(listener)
            listener.refresh()

    def _announce_change(self) -> None:
        self.revision += 1
        for listener in list(self._listeners):
            listener.refresh()
