"""Items before new items in histories, in memory; bounded, those of items that changed longest ago are dropped."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.catalogue.item_key import ItemKeys, item_key

MAX_ITEMS = 20_000
Cooccurring = tuple[ItemKeys, NDArray[np.float64]]
"""Item keys (K,) and their weights (K,)."""


class Cooccurrences:
    """The event loop puts, placements in other threads find; `revision` rises with every change."""

    def __init__(self) -> None:
        self.revision = 0
        self._items: dict[int, Cooccurring] = {}

    def __len__(self) -> int:
        return len(self._items)

    def put(self, neighbours: Mapping[str, Cooccurring], *, restarts: bool = False) -> None:
        """Replace the neighbours of items by their ids; of all items if it restarts."""
        if not neighbours and not (restarts and self._items):
            return
        items = {} if restarts else self._items
        for item_id, pairs in neighbours.items():
            key = int.from_bytes(item_key(item_id), "little")
            items.pop(key, None)  # to the end
            items[key] = pairs
            if len(items) > MAX_ITEMS:
                del items[next(iter(items))]
        self._items = items
        self.revision += 1

    def find(self, key: int) -> Cooccurring | None:
        """Return the neighbours of the item with a key."""
        return self._items.get(key)

    def has(self, keys: ItemKeys) -> NDArray[np.bool_]:
        """(n,) keys → (n,) whether each has neighbours."""
        items = self._items
        return np.fromiter((key in items for key in keys.tolist()), dtype=bool, count=len(keys))
