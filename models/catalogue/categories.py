"""The categories of all items in two arrays, with each category name stored once.

A tuple of names per item takes 70 bytes or more; this takes 8, and 4 per category of an item.
"""

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from models.catalogue.string_array import StringArray


class CategoryIndex(Sequence[tuple[str, ...]]):
    """The category names of every item, and the items of every category.

    `numbers` (uses,) int32 index into `names`; the item at position p has those from ends[p − 1] to ends[p].
    """

    def __init__(self, names: StringArray, numbers: NDArray[np.int32], ends: NDArray[np.int64]) -> None:
        self.names, self.numbers, self.ends = names, numbers, ends
        self._number_of = {name: number for number, name in enumerate(names)}
        self._members: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @classmethod
    def from_lists(cls, categories: Iterable[Sequence[str]]) -> "CategoryIndex":
        """Encode the category names of every item; a CategoryIndex is returned unchanged."""
        if isinstance(categories, CategoryIndex):
            return categories
        number_of: dict[str, int] = {}
        numbers, lengths = [], []
        for names in categories:
            numbers += [number_of.setdefault(name, len(number_of)) for name in names]
            lengths.append(len(names))
        ends = np.cumsum(np.array(lengths, dtype=np.int64))
        return cls(StringArray.from_strings(number_of), np.array(numbers, dtype=np.int32), ends)

    @classmethod
    def empty(cls, num_items: int) -> "CategoryIndex":
        """Items without categories."""
        return cls(StringArray.from_strings([]), np.empty(0, dtype=np.int32), np.zeros(num_items, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return int(self.names.nbytes + self.numbers.nbytes + self.ends.nbytes)

    def find_members(self, name: str) -> NDArray[np.int64] | None:
        """Positions of the items in this category, ascending and unique; None for an unknown category."""
        number = self._number_of.get(name)
        if number is None:
            return None
        if self._members is None:  # inverted for all categories on the first call
            lengths = np.diff(self.ends, prepend=0)
            positions = np.repeat(np.arange(len(self.ends)), lengths)
            order = np.argsort(self.numbers, kind="stable")
            self._members = positions[order], np.searchsorted(self.numbers[order], np.arange(len(self.names) + 1))
        positions, starts = self._members
        return np.unique(positions[starts[number] : starts[number + 1]])

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, position: int) -> tuple[str, ...]: ...

    @overload
    def __getitem__(self, position: slice) -> list[tuple[str, ...]]: ...

    def __getitem__(self, position: int | slice) -> tuple[str, ...] | list[tuple[str, ...]]:
        if isinstance(position, slice):
            return [self[index] for index in range(*position.indices(len(self)))]
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"item {position} is out of range (length {len(self)})")
        start = int(self.ends[position - 1]) if position else 0
        return tuple(self.names[number] for number in self.numbers[start : int(self.ends[position])].tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared by value, like a list
