"""Ids of history items that the serving model does not know.

Histories are read for the model as item keys, and the model's catalogue has ids only for its own items. Ids of other
items are in the user's second value in Redis, which is long and slow to decode. A key always maps to the same id, so
each id is looked up once per process and kept in a cache of bounded size.
"""

import asyncio
from collections.abc import Callable, Iterable

from app.errors import DamagedHistory, Overloaded, StoreUnavailable
from app.stores.history import HistoryStore
from models.catalogue.item_key import ItemKeys, item_keys

MAX_NAMED_ITEMS = 100
"""Most unknown items that one response lists."""
CACHE_SIZE = 100_000
"""Most ids in the cache, some 20 MB."""


class UnknownItemResolver:
    def __init__(self, store: HistoryStore, is_known: Callable[[str], bool], *, cache_size: int = CACHE_SIZE) -> None:
        self._store = store
        self._is_known = is_known
        self._cache_size = cache_size
        self._ids: dict[int, str] = {}

    async def resolve(self, user_id: str, keys: ItemKeys, deadline: float) -> list[str]:
        """Return the ids of `keys`, which are items of the user's history: without repeats, in order, at most 100.

        Ids that Redis does not return by the deadline, or no longer has, are left out; the response does not fail.
        """
        distinct = list(dict.fromkeys(keys.tolist()))[:MAX_NAMED_ITEMS]
        is_late = asyncio.get_running_loop().time() >= deadline
        if not is_late and any(key not in self._ids for key in distinct):
            try:
                async with asyncio.timeout_at(deadline):
                    stored = await self._store.read_history(user_id)
            except (StoreUnavailable, DamagedHistory, Overloaded, TimeoutError):
                pass
            else:
                self._remember({event.item_id for event in stored.events if not self._is_known(event.item_id)})
        return [self._ids[key] for key in distinct if key in self._ids]

    def _remember(self, item_ids: Iterable[str]) -> None:
        ids = list(item_ids)
        self._ids.update(zip(item_keys(ids).tolist(), ids, strict=True))
        while len(self._ids) > self._cache_size:
            del self._ids[next(iter(self._ids))]  # evict the oldest
