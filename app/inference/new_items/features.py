"""Features that a new item shares with trained items: its categories and attributes.

A trained item has its live categories and its live value of an attribute, and those of the training where it has none.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from app.inference.live.mask_cache import Mask
from app.inference.live.version_view import VersionView
from models.catalogue.attributes import AttributeFeatures, find_bin, name_bin, name_text

Indices = NDArray[np.int64]
Feature = tuple[str | None, str | int]
"""Name of an attribute, None for the categories, and a text, or the bin of a number."""
MAX_FEATURES = 32
"""Most features of an item that count."""
MAX_VALUES = 10_000
"""Distinct live values of an attribute above which those do not count: they name single items rather than kinds."""
TRUTH_TEXTS = {True: "true", False: "false"}


class LiveFeatures:
    """Reads features of rows of the live catalogue, and the trained items that have them."""

    def __init__(self, view: VersionView, trained: AttributeFeatures) -> None:
        self._view = view
        self._attributes = view.live.attributes
        self._trained = trained

    def find_described(self, rows: Indices) -> NDArray[np.bool_]:
        """(n,) rows → (n,) whether each has a category or an attribute that may be a feature."""
        is_described = np.zeros(len(rows), dtype=bool)
        columns = [self._view.live.categories.has_value()]
        columns += [column.has_value() for column in list(self._attributes.values.values())]
        columns += [~np.isnan(self._attributes.numbers[name].values) for name in self._list_binned()]
        for is_set in columns:
            present = rows < len(is_set)  # a column may have fewer rows than there are
            is_described[present] |= is_set[rows[present]]
        return is_described

    def list_features(self, row: int) -> tuple[Feature, ...]:
        """List the features of the item in a row, its categories first."""
        features: list[Feature] = [(None, name) for name in _list_texts(self._view.live.categories.get(row))]
        for name, column in list(self._attributes.values.items()):
            features += [(name, text) for text in _list_texts(column.get(row))]
        for name in self._list_binned():
            numbers = self._attributes.numbers[name].values
            if row < len(numbers) and not np.isnan(numbers[row]):
                features.append((name, find_bin(self._trained.edges[name], float(numbers[row]))))
        return tuple(features[:MAX_FEATURES])

    def find_items(self, feature: Feature) -> Indices:
        """Find the trained items that have a feature, ascending."""
        name, value = feature
        if name is None:
            return np.flatnonzero(self._view.find_category_members(str(value)))
        items = np.zeros(self._view.num_items + 1, dtype=bool)
        if isinstance(value, str):
            matches, trained_name = self._match_text(name, value), name_text(name, value)
        else:
            matches, trained_name = self._match_bin(name, value), name_bin(name, self._trained.edges[name], value)
        trained = self._trained.find_items(trained_name)
        if trained is not None:
            items[trained] = True
            items &= ~self._find_set(name)
        return np.flatnonzero(items | matches)

    def _list_binned(self) -> list[str]:
        """List the live numbers that the training has cut into bins."""
        return [name for name in list(self._attributes.numbers) if name in self._trained.edges]

    def _match_text(self, name: str, text: str) -> Mask:
        column = self._attributes.values[name]
        if column.num_values > MAX_VALUES:
            return np.zeros(self._view.num_items + 1, dtype=bool)
        return self._view.to_items(column.match(lambda value: text in _list_texts(value)))

    def _match_bin(self, name: str, number: int) -> Mask:
        numbers, edges = self._attributes.numbers[name].values, self._trained.edges[name]
        is_match = ~np.isnan(numbers)
        is_match &= np.searchsorted(edges, numbers, side="right") == number
        return self._view.to_items(is_match)

    def _find_set(self, name: str) -> Mask:
        """Find the items with a live value of this attribute, which replaces the one of the training."""
        is_set = np.zeros(self._view.num_items + 1, dtype=bool)
        if (column := self._attributes.values.get(name)) is not None and column.num_values <= MAX_VALUES:
            is_set |= self._view.to_items(column.has_value())
        if (numbers := self._attributes.numbers.get(name)) is not None:
            is_set |= self._view.to_items(~np.isnan(numbers.values))
        return is_set


def _list_texts(value: object) -> Iterable[str]:
    """List the texts of a value; a boolean is one, too."""
    if isinstance(value, bool):
        return (TRUTH_TEXTS[value],)
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, tuple) else ()
