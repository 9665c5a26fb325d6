"""Ids of history items that the serving model does not know.

Histories are read for the model as item keys, and the model's catalogue has ids only for its own items. Ids of other
items are in a side index in Redis. A key always maps to the same id, so each id is looked up once per process and kept
in a cache of bounded size.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from app.errors import DamagedHistory, Overloaded, StoreUnavailable
from app.stores.history import HistoryStore
from models.catalogue.item_key import ItemKeys

MAX_NAMED_ITEMS = 100
"""Most unknown items that one response lists."""
CACHE_SIZE = 100_000
"""Most ids in the cache, some 20 MB."""


class UnknownItemResolver:
    def __init__(self, store: HistoryStore, *, cache_size: int = CACHE_SIZE) -> None:
        self._store = store
        self._cache_size = cache_size
        self._ids: dict[int, str] = {}

    async def resolve(self, user_id: str, keys: ItemKeys, deadline: float) -> list[str]:
        """Return the ids of `keys`, which are items of the user's history: without repeats, in order, at most 100.

        Ids that Redis does not return by the deadline, or no longer has, are left out; the response does not fail.
        """
        distinct = list(dict.fromkeys(keys.tolist()))[:MAX_NAMED_ITEMS]
        item_ids = {key: self._ids[key] for key in distinct if key in self._ids}
        is_late = asyncio.get_running_loop().time() >= deadline
        if not is_late and len(item_ids) < len(distinct):
            with suppress(StoreUnavailable, DamagedHistory, Overloaded, TimeoutError):
                async with asyncio.timeout_at(deadline):
                    missing = [key for key in distinct if key not in item_ids]
                    item_ids |= await self._store.find_item_ids(user_id, missing)
            self._remember(item_ids)
        return [item_ids[key] for key in distinct if key in item_ids]

    def _remember(self, item_ids: Mapping[int, str]) -> None:
        self._ids.update(item_ids)
        while len(self._ids) > self._cache_size:
            del self._ids[next(iter(self._ids))]  # evict the oldest
