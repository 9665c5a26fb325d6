"""From 64-bit item keys to the indices of one catalogue, for a whole batch at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.errors import ArtifactRejected
from app.item_key import ItemKeys, item_keys


class ItemIndex:
    """Binary search in the sorted keys: 16 bytes per item, and no table to size."""

    def __init__(self, item_ids: Sequence[str]) -> None:
        keys = item_keys(item_ids)
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._indices = order + 1
        twice = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        if len(twice):
            one, other = (item_ids[int(order[twice[0] + step])] for step in (0, 1))
            raise ArtifactRejected(f"items {one!r} and {other!r} have the same key: rename one of them")

    @property
    def nbytes(self) -> int:
        return int(self._keys.nbytes + self._indices.nbytes)

    def of(self, keys: ItemKeys) -> NDArray[np.int64]:
        """(n,) keys → (n,) indices, 0 for a key that the catalogue does not have."""
        places = np.searchsorted(self._keys, keys)
        places[places == len(self._keys)] = 0
        return np.where(self._keys[places] == keys, self._indices[places], 0)
