"""A column of values that many items share: a number per row, and each distinct value once."""

from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.inference.live.growing_array import GrowingArray

SPARE_VALUES = 10_000
"""Values that no row has any more are dropped when there are more values than rows and these."""
SPARE_BYTES = 1_000_000
"""They are also dropped when the values take these bytes more than twice those after the last time."""

OBJECT_BYTES = 100


class _Table:
    """Number of each row's value, the values, which take some `nbytes`, and their numbers."""

    def __init__(self, values: list[Hashable]) -> None:
        self.rows = GrowingArray(np.int32)
        self.values = values
        self.numbers = {value: number for number, value in enumerate(values)}
        self.nbytes = sum(map(_estimate_bytes, values))
        self.max_nbytes = 2 * self.nbytes + SPARE_BYTES


class DictionaryColumn:
    """Value 0 is `default`. Readers in other threads see one table, in which values are only added."""

    def __init__(self, default: Hashable) -> None:
        self._table = _Table([default])

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers, and some of the values."""
        return self._table.rows.nbytes + self._table.nbytes

    @property
    def num_values(self) -> int:
        """Number of distinct values, of which no row may have some any more."""
        return len(self._table.values)

    def extend_to(self, count: int) -> None:
        """Give rows that are added the default."""
        self._table.rows.extend_to(count, 0)

    def set(self, rows: NDArray[np.int64], values: Iterable[Hashable]) -> None:
        """Set the values of rows."""
        table = self._table
        table.rows.values[rows] = [_add(table, value) for value in values]
        if len(table.values) > len(table.rows) + SPARE_VALUES or table.nbytes > table.max_nbytes:
            self._table = _drop_unused(table)

    def reset(self, rows: NDArray[np.bool_]) -> None:
        """Give the default to the rows that are set."""
        self._table.rows.values[rows] = 0

    def get(self, row: int) -> Hashable:
        """Return the value of a row, the default for one that was added meanwhile."""
        table = self._table
        return table.values[table.rows.values[row]] if row < len(table.rows.values) else table.values[0]

    def has_value(self) -> NDArray[np.bool_]:
        """(rows,) bool: whether each row has another value than the default."""
        is_set: NDArray[np.bool_] = self._table.rows.values > 0
        return is_set

    def match(self, matches: Callable[[Hashable], bool]) -> NDArray[np.bool_]:
        """(rows,) bool: whether the value of each row matches; asks once per distinct value."""
        table = self._table
        rows = table.rows.values.copy()  # before the values, of which there may be more by now
        is_match: NDArray[np.bool_] = np.fromiter(map(matches, list(table.values)), dtype=bool)[rows]
        return is_match

    def match_any(self, values: Sequence[Hashable]) -> NDArray[np.bool_]:
        """(rows,) bool: whether the value of each row is one of `values`."""
        table = self._table
        numbers = [number for value in values if (number := table.numbers.get(value)) is not None]
        is_match: NDArray[np.bool_] = np.isin(table.rows.values, numbers)
        return is_match


def _add(table: _Table, value: Hashable) -> int:
    number = table.numbers.get(value)
    if number is None:
        table.values.append(value)
        number = table.numbers[value] = len(table.values) - 1
        table.nbytes += _estimate_bytes(value)
    return number


def _estimate_bytes(value: Hashable) -> int:
    """Estimate the memory of a text or a tuple of texts, of its object and of the entries that refer to it."""
    if isinstance(value, tuple):
        return OBJECT_BYTES + sum(map(_estimate_bytes, value))
    return OBJECT_BYTES + (len(value) if isinstance(value, str) else 0)


def _drop_unused(table: _Table) -> _Table:
    used, rows = np.unique(np.append(0, table.rows.values), return_inverse=True)
    smaller = _Table([table.values[number] for number in used.tolist()])
    smaller.rows.extend(rows[1:].astype(np.int32))
    return smaller
