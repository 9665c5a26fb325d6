"""Attributes of items in columns: numbers and times in one, texts, booleans and lists in another, by name."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from app.inference.live.dictionary_column import DictionaryColumn
from app.inference.live.growing_array import GrowingArray
from models.catalogue.attribute_times import parse_time

log = logging.getLogger("nextup")

MAX_NAMES = 64
"""Names of attributes that filters can use; further ones are stored in Redis only."""
AttributeValue = bool | int | float | str | list[str]
Attributes = Mapping[str, AttributeValue]


class AttributeColumns:
    """A name gets its columns with its first value."""

    def __init__(self) -> None:
        self.numbers: dict[str, GrowingArray] = {}
        """NaN where an item has no number or time of this name."""
        self.values: dict[str, DictionaryColumn] = {}
        """None where an item has no text, boolean or list of this name; lists are tuples."""
        self.left_out: set[str] = set()
        """Names without columns, because there are MAX_NAMES others; at most as many again."""

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for columns in (self.numbers, self.values) for column in columns.values())

    def count_items(self, name: str) -> tuple[int, int]:
        """Count the items with a number or time of this name, and those with another value."""
        numbers, values = self.numbers.get(name), self.values.get(name)
        num_numbers = 0 if numbers is None else int(np.count_nonzero(~np.isnan(numbers.values)))
        return num_numbers, 0 if values is None else int(np.count_nonzero(values.has_value()))

    def set(self, rows: NDArray[np.int64], attributes: Sequence[Attributes], count: int) -> None:
        """Set all attributes of `rows`, of which there are `count` in all."""
        numbers, values = _split(attributes)
        for name in sorted(set[str]().union(*numbers, *values)):
            self._add_columns(name, numbers, values)
        for name, column in list(self.numbers.items()):
            column.extend_to(count, np.nan)
            column.values[rows] = [part.get(name, np.nan) for part in numbers]
        for name, texts in list(self.values.items()):
            texts.extend_to(count)
            texts.set(rows, [part.get(name) for part in values])

    def reset(self, rows: NDArray[np.bool_]) -> None:
        """Remove the attributes of the rows that are set."""
        for column in self.numbers.values():
            column.values[rows] = np.nan
        for texts in self.values.values():
            texts.reset(rows)

    def _add_columns(
        self,
        name: str,
        numbers: Sequence[Mapping[str, float]],
        values: Sequence[Mapping[str, bool | str | tuple[str, ...]]],
    ) -> None:
        if name not in self.numbers and name not in self.values and len(self.numbers | self.values) >= MAX_NAMES:
            if not self.left_out:
                log.warning(
                    "filters can use %d attributes; %r and further ones are not among them: remove some names from all "
                    "items, and restart the service",
                    MAX_NAMES,
                    name,
                )
            if len(self.left_out) < MAX_NAMES:
                self.left_out.add(name)
            return
        if any(name in part for part in numbers):
            self.numbers.setdefault(name, GrowingArray(np.float64))
        if any(name in part for part in values):
            self.values.setdefault(name, DictionaryColumn(None))


def is_text(value: object) -> bool:
    """Check whether filters compare a value as a text: a text that is no time."""
    return isinstance(value, str) and parse_time(value) is None


def _split(
    attributes: Sequence[Attributes],
) -> tuple[list[dict[str, float]], list[dict[str, bool | str | tuple[str, ...]]]]:
    """Split the attributes of each item into numbers with times, and other values."""
    numbers: list[dict[str, float]] = []
    values: list[dict[str, bool | str | tuple[str, ...]]] = []
    for item in attributes:
        own_numbers: dict[str, float] = {}
        own_values: dict[str, bool | str | tuple[str, ...]] = {}
        for name, value in item.items():
            if isinstance(value, str) and (time := parse_time(value)) is not None:
                own_numbers[name] = time
            elif isinstance(value, bool | str):
                own_values[name] = value
            elif isinstance(value, list):
                own_values[name] = tuple(value)
            else:
                own_numbers[name] = float(value)
        numbers.append(own_numbers)
        values.append(own_values)
    return numbers, values
