"""Boosts and limits of queries, and the answers that follow them, in the layout of the native library."""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.native.layout import Answers, Rules

MOST_USED_UP = 32  # as in rules.h


class Bonuses(NamedTuple):
    """The bonus of each class of items, and the class of each item (num_items + 1,), None if there is only one."""

    by_class: NDArray[np.float64]
    classes: NDArray[np.uint8] | None
    largest: float


class LimitedValues(NamedTuple):
    """Values of items: at the place of an item in `numbers` there is how many it has, then their numbers.

    `places` (num_items + 1,) are 0 for items whose values are not known; another thread may add items behind `numbers`,
    which must be read before the arrays after it. Value v is of field `fields[v]`, and an answer may have it
    `limits[fields[v]]` times. `members[v]` is the address of the mask (num_items + 1,) of its items, 0 if that is not
    known.
    """

    places: NDArray[np.int32]
    numbers: NDArray[np.int32]
    fields: NDArray[np.int32]
    limits: NDArray[np.int32]
    members: NDArray[np.uintp]


class AnswerRules:
    """Rules of one or more queries over `num_items` items; refers to the arrays."""

    def __init__(self, num_items: int, bonuses: Bonuses, values: LimitedValues | None) -> None:
        self._arrays = bonuses, values
        self._rules = Rules(
            classes=None if bonuses.classes is None else bonuses.classes.ctypes.data,
            bonuses=bonuses.by_class.ctypes.data,
            largest=bonuses.largest,
            num_items=num_items,
        )
        if values is not None:
            self._rules.places, self._rules.numbers = values.places.ctypes.data, values.numbers.ctypes.data
            self._rules.fields, self._rules.limits = values.fields.ctypes.data, values.limits.ctypes.data
            self._rules.members = values.members.ctypes.data
            self._rules.num_values, self._rules.num_numbers = len(values.fields), len(values.numbers)
        self.address = ctypes.addressof(self._rules)


class NativeAnswers:
    """Answers of a batch: `lengths` (B,) items of `needed` (B,), with their `scores` (B, k), best first.

    `used_up` (B, 32) are values of which an answer has enough, −1 past the last; more than that are left out.
    `is_whole` (B,): whether an answer has all items that it needs, or all that are eligible.
    """

    def __init__(self, num_needed: Sequence[int]) -> None:
        count, k = len(num_needed), max(num_needed)
        self.items = np.zeros((count, k), dtype=np.int64)
        self.scores = np.zeros((count, k))
        self.used_up = np.full((count, MOST_USED_UP), -1, dtype=np.int32)
        self.lengths = np.zeros(count, dtype=np.int32)
        self.is_whole = np.zeros(count, dtype=bool)
        self._needed = np.array(num_needed, dtype=np.int32)
        self.layout = Answers(
            items=self.items.ctypes.data,
            scores=self.scores.ctypes.data,
            used_up=self.used_up.ctypes.data,
            lengths=self.lengths.ctypes.data,
            needed=self._needed.ctypes.data,
            is_whole=self.is_whole.ctypes.data,
            count=count,
            k=k,
        )
