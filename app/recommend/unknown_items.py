"""Names of items in a history that the model does not know.

A history that is read for the model holds keys, and the model's catalogue names only its own items. Names of others lie
in the user's second value, which is long and slow to decode; a key never changes its meaning, so each is looked up
once per process and remembered, in bounded number.
"""

import asyncio
from collections.abc import Callable, Iterable

from app.errors import Overloaded, StoreUnavailable
from app.item_key import ItemKeys, item_keys
from app.stores.history import HistoryStore

MAX_NAMED_ITEMS = 100  # items named in one answer
CACHE_SIZE = 100_000  # at most some 20 MB


class UnknownItemResolver:
    def __init__(self, store: HistoryStore, is_known: Callable[[str], bool], *, cache_size: int = CACHE_SIZE) -> None:
        self._store = store
        self._is_known = is_known
        self._most = cache_size
        self._names: dict[int, str] = {}

    async def resolve(self, user_id: str, keys: ItemKeys, deadline: float) -> list[str]:
        """External ids of `keys`, which are of the user's history, each once, in the order given; at most a hundred.

        Names that Redis does not give by the deadline, or no longer has, are left out: the answer stands without them.
        """
        asked = list(dict.fromkeys(keys.tolist()))[:MAX_NAMED_ITEMS]
        late = asyncio.get_running_loop().time() >= deadline
        if not late and any(key not in self._names for key in asked):
            try:
                async with asyncio.timeout_at(deadline):
                    stored = await self._store.read_history(user_id)
            except (StoreUnavailable, Overloaded, TimeoutError):
                pass
            else:
                self._remember({event.item_id for event in stored.events if not self._is_known(event.item_id)})
        return [self._names[key] for key in asked if key in self._names]

    def _remember(self, item_ids: Iterable[str]) -> None:
        names = list(item_ids)
        self._names.update(zip(item_keys(names).tolist(), names, strict=True))
        while len(self._names) > self._most:
            del self._names[next(iter(self._names))]  # the one learnt first
