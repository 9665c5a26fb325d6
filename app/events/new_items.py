"""Counts the items before new items in histories as their events arrive, so that these are placed between them.

New are listed items of the live catalogue that the serving version does not know (`new_item_sources.py`). Only events
that were stored count, so an event that is sent again counts once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from app.errors import ServiceError
from app.events.new_item_sources import NewItemSource
from app.stores.cooccurrences import CooccurrenceStore
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from models.catalogue.item_key import ItemKeys, item_key

WINDOW = 3
"""Items before an event that count, weighted by one over the distance, as in `nextup extend`."""
MAX_USERS = 100
"""Users of one call whose events count by default: the history of each is read."""
READ_S = 0.5
"""Longest wait for all of these histories, by default."""


class NewItemEvents:
    def __init__(
        self,
        histories: HistoryStore,
        cooccurrences: CooccurrenceStore,
        source: NewItemSource,
        *,
        max_users: int = MAX_USERS,
        read_s: float = READ_S,
    ) -> None:
        """The histories of at most `max_users` users of one call are read, within `read_s`."""
        self._histories = histories
        self._cooccurrences = cooccurrences
        self._source = source
        self._max_users = max_users
        self._read_s = read_s

    async def count(self, events: Sequence[NewEvent]) -> None:
        """Count the events of new items, which are stored; nothing if Redis does not answer."""
        new = await self._source.select_new([event.item_id for event in events])
        if not new:
            return
        by_user: dict[str, set[str]] = defaultdict(set)
        for event in events:
            if event.item_id in new and (event.user_id in by_user or len(by_user) < self._max_users):
                by_user[event.user_id].add(event.item_id)
        weights: dict[str, dict[bytes, float]] = defaultdict(lambda: defaultdict(float))
        deadline = asyncio.get_running_loop().time() + self._read_s
        reads = [self._histories.read_recent(user_id, deadline) for user_id in by_user]  # one MGET
        histories = await asyncio.gather(*reads, return_exceptions=True)
        for item_ids, history in zip(by_user.values(), histories, strict=True):
            if isinstance(history, ServiceError):
                continue
            if isinstance(history, BaseException):
                raise history
            for item_id in item_ids:
                for key, weight in find_items_before(history.item_keys, item_id):
                    weights[item_id][key] += weight
        if weights:
            with suppress(ServiceError):
                await self._cooccurrences.add(weights)


def find_items_before(history: ItemKeys, item_id: str) -> list[tuple[bytes, float]]:
    """Find the item keys before the last event of an item, with their weights."""
    own = np.frombuffer(item_key(item_id), dtype="<u8")[0]
    positions = np.flatnonzero(history == own)
    if not len(positions):
        return []
    last = int(positions[-1])
    window = history[max(0, last - WINDOW) : last][::-1]
    return [(key.tobytes(), 1 / distance) for distance, key in enumerate(window, start=1) if key != own]
