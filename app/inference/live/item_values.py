"""Values of items in some fields, read when they are needed and kept until the live catalogue changes."""

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from app.inference.live.growing_array import GrowingArray
from app.inference.live.mask_cache import MAX_BYTES, Mask
from app.inference.live.version_view import VersionView

CATEGORIES = "categories"
FieldValue = tuple[str, bool | float | str]
"""A field, `categories` or the name of an attribute, and one of the values that an item has there."""
MAX_SELECTIONS = 4
MAX_CACHED = 20_000
"""Items whose values a selection of fields keeps: some 4 MB."""


class KnownValues:
    """Values in some fields at one revision of the live catalogue, as numbers; any thread may use it."""

    def __init__(self, view: VersionView, fields: Sequence[str]) -> None:
        self.revision = view.live.revision
        self.numbers_by_item: dict[int, tuple[int, ...]] = {}
        """The numbers of the values of each item that was read, each once."""
        self.places = np.zeros(view.num_items + 1, dtype=np.int32)
        """Where the values of each item are in `numbers`, 0 for one that was not read; pages are taken as needed."""
        self._numbers = GrowingArray(np.int32)
        self._numbers.extend_to(1, 0)
        self._fields_of_values = GrowingArray(np.int32)
        self._member_addresses = GrowingArray(np.uintp)
        self._members: dict[int, Mask] = {}
        self._view = view
        self._fields = fields
        self._number_by_value: dict[FieldValue, int] = {}
        self._values: list[FieldValue] = []
        self._lock = Lock()

    @property
    def numbers(self) -> NDArray[np.int32]:
        """At the place of an item: how many values it has, then their numbers."""
        return self._numbers.values

    @property
    def fields_of_values(self) -> NDArray[np.int32]:
        """The position of its field, by the number of a value."""
        return self._fields_of_values.values

    @property
    def member_addresses(self) -> NDArray[np.uintp]:
        """The address of the mask of its items, by the number of a value, 0 without one."""
        return self._member_addresses.values

    def find_numbers_without_members(self, numbers: NDArray[np.int32]) -> list[int]:
        """Find the values whose items are not known, as far as there is room for their masks."""
        room = MAX_BYTES // len(self.places) - len(self._members)
        missing = {number for number in numbers.tolist() if number not in self._members}
        return sorted(missing)[: max(room, 0)]

    def set_members(self, number: int, members: Mask) -> None:
        """Keep the mask (num_items + 1,) of the items that have a value."""
        with self._lock:
            self._members.setdefault(number, members)
            self._member_addresses.values[number] = self._members[number].ctypes.data

    def read(self, item: int) -> tuple[int, ...]:
        """Read the values of an item, and keep their numbers."""
        numbers = tuple({self._number(value) for value in self._read(item)})
        with self._lock:
            if not self.places[item]:  # a place never changes, because native code may be at it
                place = len(self._numbers)
                self._numbers.extend(np.array([len(numbers), *numbers], dtype=np.int32))
                self.places[item] = place
        self.numbers_by_item[item] = numbers
        return numbers

    def read_all(self, items: NDArray[np.int64]) -> bool:
        """Read the values of those items that were not read; False if there are none."""
        missing = np.unique(items[(self.places[items] == 0) & (items > 0)]).tolist()
        for item in missing:
            self.read(item)
        return bool(missing)

    def get_value(self, number: int) -> FieldValue:
        return self._values[number]

    def _number(self, value: FieldValue) -> int:
        number = self._number_by_value.get(value)
        if number is None:
            with self._lock:
                number = self._number_by_value.setdefault(value, len(self._values))
                if number == len(self._values):
                    self._fields_of_values.extend(np.array([self._fields.index(value[0])], dtype=np.int32))
                    self._member_addresses.extend_to(number + 1, 0)
                    self._values.append(value)
        return number

    def _read(self, item: int) -> Iterable[FieldValue]:
        row = int(self._view.find_rows(np.array([item]))[0])
        for field in self._fields:
            if field == CATEGORIES:
                yield from ((field, name) for name in self._view.get_categories(item, row))
            elif row >= 0:
                yield from ((field, value) for value in self._read_attribute(field, row))

    def _read_attribute(self, name: str, row: int) -> Sequence[bool | float | str]:
        attributes = self._view.live.attributes
        numbers, column = attributes.numbers.get(name), attributes.values.get(name)
        if numbers is not None and row < len(numbers) and not math.isnan(number := float(numbers.values[row])):
            return (number,)
        value = None if column is None else column.get(row)
        if isinstance(value, tuple):
            return value
        return (value,) if isinstance(value, bool | str) else ()


class ItemValues:
    """Values in some fields; any thread may use it."""

    def __init__(self, view: VersionView, fields: Sequence[str]) -> None:
        self._view = view
        self._fields = fields
        self._known = KnownValues(view, fields)

    def get_known(self) -> KnownValues:
        """Return the values at this revision, to which items are added as they are read."""
        known = self._known
        if known.revision != self._view.live.revision or len(known.numbers_by_item) > MAX_CACHED:
            self._known = known = KnownValues(self._view, self._fields)
        return known


class ValueSelections:
    """Keeps the values for the selections of fields that were used last."""

    def __init__(self, view: VersionView) -> None:
        self._view = view
        self._selections: OrderedDict[tuple[str, ...], ItemValues] = OrderedDict()

    def select(self, fields: tuple[str, ...]) -> ItemValues:
        """Return the values of items in these fields."""
        values = self._selections.get(fields)
        if values is None:
            self._selections[fields] = values = ItemValues(self._view, fields)
            if len(self._selections) > MAX_SELECTIONS:
                self._selections.popitem(last=False)
        return values
