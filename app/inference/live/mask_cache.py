"""Masks over the items of one version, kept until the live catalogue changes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
MAX_BYTES = 16_000_000
"""Of the masks of one cache; at least one mask is kept."""


class MaskCache:
    """Evicts the masks that were used least recently; any thread may use it."""

    def __init__(self) -> None:
        self._masks: OrderedDict[Hashable, tuple[int, Mask]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._masks)

    def has(self, key: Hashable, revision: int) -> bool:
        """Whether the mask of this revision of the live catalogue is there."""
        cached = self._masks.get(key)
        return cached is not None and cached[0] == revision

    def get_or_compute(self, key: Hashable, revision: int, compute: Callable[[], Mask]) -> Mask:
        """Return the mask of this revision, which must be read before; it must not be changed."""
        cached = self._masks.get(key)
        if cached is not None and cached[0] == revision:
            with suppress(KeyError):  # another thread may have evicted it since
                self._masks.move_to_end(key)
            return cached[1]
        mask = compute()
        self._masks.pop(key, None)
        self._masks[key] = revision, mask
        if len(self._masks) > max(1, MAX_BYTES // len(mask)):
            self._masks.popitem(last=False)
        return mask
