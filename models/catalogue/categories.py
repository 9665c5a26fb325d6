"""The categories of every item as numbers in two arrays, and their names once each.

A tuple of names per item takes 70 bytes and more; this takes 8, and 4 per category that an item has.
"""

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from models.catalogue.string_array import StringArray


class CategoryIndex(Sequence[tuple[str, ...]]):
    """`numbers` (uses,) int32 into `names`; the item at place p has those from ends[p − 1] to ends[p]."""

    def __init__(self, names: StringArray, numbers: NDArray[np.int32], ends: NDArray[np.int64]) -> None:
        self.names, self.numbers, self.ends = names, numbers, ends
        self._number_of = {name: number for number, name in enumerate(names)}
        self._members: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @classmethod
    def find_indices(cls, categories: Iterable[Sequence[str]]) -> "CategoryIndex":
        if isinstance(categories, CategoryIndex):
            return categories
        number_of: dict[str, int] = {}
        numbers, lengths = [], []
        for names in categories:
            numbers += [number_of.setdefault(name, len(number_of)) for name in names]
            lengths.append(len(names))
        ends = np.cumsum(np.array(lengths, dtype=np.int64))
        return cls(StringArray.find_indices(number_of), np.array(numbers, dtype=np.int32), ends)

    @classmethod
    def empty(cls, num_items: int) -> "CategoryIndex":
        return cls(StringArray.find_indices([]), np.empty(0, dtype=np.int32), np.zeros(num_items, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return int(self.names.nbytes + self.numbers.nbytes + self.ends.nbytes)

    def find_members(self, name: str) -> NDArray[np.int64] | None:
        """Places of the items with this category, rising, each once; None for one that no item has."""
        number = self._number_of.get(name)
        if number is None:
            return None
        if self._members is None:  # all of them, when the first one is asked for
            lengths = np.diff(self.ends, prepend=0)
            places = np.repeat(np.arange(len(self.ends)), lengths)
            order = np.argsort(self.numbers, kind="stable")
            self._members = places[order], np.searchsorted(self.numbers[order], np.arange(len(self.names) + 1))
        places, begins = self._members
        return np.unique(places[begins[number] : begins[number + 1]])

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, place: int) -> tuple[str, ...]: ...

    @overload
    def __getitem__(self, place: slice) -> list[tuple[str, ...]]: ...

    def __getitem__(self, place: int | slice) -> tuple[str, ...] | list[tuple[str, ...]]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if place < 0:
            place += len(self)
        if not 0 <= place < len(self):
            raise IndexError(f"item {place} of {len(self)}")
        begin = int(self.ends[place - 1]) if place else 0
        return tuple(self.names[number] for number in self.numbers[begin : int(self.ends[place])].tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared by value, as a list is
