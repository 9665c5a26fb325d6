"""An array that grows at its end while other threads read what it already holds."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

MIN_CAPACITY = 1024


class GrowingArray:
    """Values of one type; `values` is a view of all of them, through which they can be replaced in place."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._storage: NDArray[Any] = np.empty(MIN_CAPACITY, dtype=dtype)
        self.values: NDArray[Any] = self._storage[:0]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes with the reserve for later values."""
        return self._storage.nbytes

    def extend(self, values: NDArray[Any]) -> None:
        """Append values; a reader keeps the view that it has."""
        count, added = len(self.values), len(values)
        if count + added > len(self._storage):
            storage = np.empty(max(2 * len(self._storage), count + added), dtype=self._storage.dtype)
            storage[:count] = self.values
            self._storage = storage
        self._storage[count : count + added] = values
        self.values = self._storage[: count + added]

    def extend_to(self, count: int, value: Any) -> None:
        """Append `value` until there are `count` values."""
        if count > len(self.values):
            self.extend(np.full(count - len(self.values), value, dtype=self._storage.dtype))
