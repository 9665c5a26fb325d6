"""Items by the sum of their boosts: classes, each of which is one mask, so that any scorer can search them exactly."""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.inference.live.mask_cache import MAX_BYTES, Mask

MAX_CACHED = 256
"""Combinations of boosts whose classes are kept."""
Key = tuple[tuple[bytes, float], ...]
"""Text of the filter and score to add, of each boost."""


class BoostClass(NamedTuple):
    """The items, (num_items + 1,), whose boosts add up to `bonus`; None for all items."""

    bonus: float
    mask: Mask | None


@dataclass(frozen=True, slots=True)
class BoostClasses:
    """All items in classes; `numbers` (num_items + 1,) has the class of each item, None if there is only one."""

    classes: Sequence[BoostClass]
    bonuses: NDArray[np.float64]
    numbers: NDArray[np.uint8] | None = None
    largest: float = 0.0
    """The largest bonus of any item."""

    @classmethod
    def from_masks(cls, masks: Sequence[Mask], bonuses: Sequence[float]) -> "BoostClasses":
        """Group all items by the sum of the bonuses whose masks have them; classes without an item are left out."""
        patterns = np.zeros(len(masks[0]), dtype=np.uint8)  # bit b is set for the items of mask b
        for bit, mask in enumerate(masks):
            patterns |= mask.astype(np.uint8) << np.uint8(bit)
        number_of_pattern = np.zeros(1 << len(masks), dtype=np.uint8)
        sums: list[float] = []
        for pattern in np.flatnonzero(np.bincount(patterns[1:], minlength=1)).tolist():
            total = sum(bonus for bit, bonus in enumerate(bonuses) if pattern >> bit & 1)
            if total not in sums:
                sums.append(total)
            number_of_pattern[pattern] = sums.index(total)
        if len(sums) == 1:
            return cls([BoostClass(sums[0], None)], np.array(sums), largest=sums[0])
        numbers = number_of_pattern[patterns]
        classes = [BoostClass(total, _select(numbers, number)) for number, total in enumerate(sums)]
        return cls(classes, np.array(sums), numbers, max(sums))

    @property
    def nbytes(self) -> int:
        return 0 if self.numbers is None else len(self.numbers) * (1 + len(self.classes))

    def get_bonuses(self, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the bonus of each item."""
        return self.bonuses[self.numbers[items]] if self.numbers is not None else self.bonuses.repeat(len(items))


NO_BOOSTS = BoostClasses([BoostClass(0.0, None)], np.zeros(1))


class BoostClassCache:
    """Keeps the classes that were used last until the live catalogue changes; any thread may use it."""

    def __init__(self) -> None:
        self._cached: OrderedDict[Key, tuple[int, BoostClasses]] = OrderedDict()

    def find(self, key: Key, revision: int) -> BoostClasses | None:
        """Return the classes of this revision of the live catalogue; None if they are not there."""
        cached = self._cached.get(key)
        if cached is None or cached[0] != revision:
            return None
        with suppress(KeyError):  # another thread may have evicted it since
            self._cached.move_to_end(key)
        return cached[1]

    def put(self, key: Key, revision: int, classes: BoostClasses) -> None:
        """Keep classes; their bytes and number are bounded, but at least these are kept."""
        self._cached.pop(key, None)
        self._cached[key] = revision, classes
        while len(self._cached) > 1 and (len(self._cached) > MAX_CACHED or self._count_bytes() > MAX_BYTES):
            self._cached.popitem(last=False)

    def _count_bytes(self) -> int:
        return sum(classes.nbytes for _, classes in list(self._cached.values()))


def _select(numbers: NDArray[np.uint8], number: int) -> Mask:
    mask: Mask = numbers == number
    mask[0] = False
    return mask
