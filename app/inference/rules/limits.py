"""Limits per value: counts the items of an answer, and excludes the items whose values are used up."""

from collections.abc import Sequence
from functools import lru_cache, reduce

import msgspec
import numpy as np

from app.inference.filters.expression import Contains, IsIn, ItemFilter
from app.inference.filters.masks import FilterMasks
from app.inference.live.mask_cache import Mask


class ValueLimits:
    """Counts the values of one answer; an item without a value in a field is not limited by it."""

    def __init__(self, limits: Sequence[tuple[str, int]], filters: FilterMasks) -> None:
        self._limits = dict(limits)
        self._filters = filters
        self._known = filters.values.select(tuple(self._limits)).get_known()
        self._counts: dict[int, int] = {}
        """Items of the answer by the number of a value."""
        self._exhausted: set[int] = set()

    def admit(self, item: int) -> bool:
        """Count an item that is added to the answer; False if its values do not allow that."""
        return bool(self.select([item], 1))

    def select(self, items: Sequence[int], count: int) -> list[int]:
        """Count the first `count` items that are allowed, each after those before it, and return their positions."""
        numbers_by_item, counts = self._known.numbers_by_item, self._counts
        is_allowed = self._exhausted.isdisjoint
        positions: list[int] = []
        for position, item in enumerate(items):
            numbers = numbers_by_item.get(item)
            if numbers is None:
                numbers = self._known.read(item)
            if is_allowed(numbers):
                for number in numbers:
                    counts[number] = count_of_value = counts.get(number, 0) + 1
                    if count_of_value == self._limits[self._known.get_value(number)[0]]:
                        self._exhausted.add(number)
                positions.append(position)
                if len(positions) == count:
                    break
        return positions

    def find_excluded(self) -> Mask | None:
        """(num_items + 1,) items that have a value of which the answer has enough; None if there is no such value."""
        masks = [find_items_with_value(self._filters, *self._known.get_value(number)) for number in self._exhausted]
        return reduce(np.logical_or, masks) if masks else None


def find_items_with_value(filters: FilterMasks, field: str, value: bool | float | str) -> Mask:
    """(num_items + 1,) items that have a value in a field; must not be changed."""
    return filters.find_matches(_make_filter(field, value))


@lru_cache(maxsize=1024)
def _make_filter(field: str, value: bool | float | str) -> ItemFilter:
    """Make the filter of all items that have a value in a field; its text is that of the same filter in a request."""
    if isinstance(value, str):
        text = msgspec.json.encode({"attribute": field, "contains_any": [value]})
        return ItemFilter(Contains(field, frozenset([value]), needs_all=False), text, frozenset([field]))
    kind = "boolean" if isinstance(value, bool) else "number"
    text = msgspec.json.encode({"attribute": field, "eq": value})
    return ItemFilter(IsIn(field, frozenset([(kind, value)])), text, frozenset([field]))
