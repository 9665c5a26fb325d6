"""Values of items in some fields, read when they are needed and kept until the live catalogue changes."""

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from app.inference.live.version_view import VersionView

CATEGORIES = "categories"
FieldValue = tuple[str, bool | float | str]
"""A field, `categories` or the name of an attribute, and one of the values that an item has there."""
MAX_SELECTIONS = 4
MAX_CACHED = 20_000
"""Items whose values a selection of fields keeps: some 4 MB."""


class ItemValues:
    """Values in some fields; any thread may use it."""

    def __init__(self, view: VersionView, fields: Sequence[str]) -> None:
        self._view = view
        self._fields = fields
        self._cached: tuple[int, dict[int, tuple[FieldValue, ...]]] = (-1, {})

    def get_cached(self) -> Mapping[int, tuple[FieldValue, ...]]:
        """Return the values of the items that are known at the moment; `find` adds to it."""
        revision, cached = self._cached
        if revision != self._view.live.revision or len(cached) > MAX_CACHED:
            self._cached = _, cached = self._view.live.revision, {}
        return cached

    def find(self, item: int) -> tuple[FieldValue, ...]:
        """Read the values of an item, each once, and keep them."""
        values = tuple(dict.fromkeys(self._read(item)))
        self._cached[1][item] = values
        return values

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
