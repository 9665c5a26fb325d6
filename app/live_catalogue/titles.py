"""Titles of the live catalogue for searches, which are read on demand: no process holds those of all items."""

import time
from contextlib import suppress

import numpy as np

from app.errors import StoreUnavailable
from app.inference.item_search import LiveTitles
from app.inference.live.items import LiveItems
from app.stores.live_items import LiveItemStore

MAX_ITEMS = 2_000
"""Items whose titles are read, those that changed last."""
READ_ITEMS = 50
"""Items of one read: no step of the event loop is long, even if records are large."""
MAX_READ_S = 0.3
"""After this time no further read begins, and older titles are not searched."""
MIN_AGE_S = 2.0
"""Titles are read again after this time at the earliest, however often items change."""


class LiveTitleReader:
    """Belongs to the event loop; one caller at a time."""

    def __init__(self, store: LiveItemStore, items: LiveItems) -> None:
        self._store = store
        self._items = items
        self._titles = LiveTitles()
        self._revision = 0
        self._read_at = float("-inf")

    async def read(self) -> LiveTitles:
        """Return the titles, read again if items have changed; those of before while Redis does not answer."""
        revision, now = self._items.revision, time.monotonic()
        if revision != self._revision and now - self._read_at >= MIN_AGE_S:
            self._read_at = now
            with suppress(StoreUnavailable):
                self._titles = await self._read_newest(now + MAX_READ_S)
                self._revision = revision
        return self._titles

    async def _read_newest(self, stop_at: float) -> LiveTitles:
        listed_at = self._items.listed_at.values
        rows = np.flatnonzero(listed_at)
        newest = rows[np.argsort(-listed_at[rows], kind="stable")][:MAX_ITEMS].tolist()
        titles: dict[str, str] = {}
        for first in range(0, len(newest), READ_ITEMS):
            if time.monotonic() >= stop_at:
                return LiveTitles(titles, is_complete=False)
            item_ids = [self._items.get_item_id(row) for row in newest[first : first + READ_ITEMS]]
            for item_id, record in zip(item_ids, await self._store.read(item_ids), strict=True):
                if record is not None and record.title is not None:
                    titles[item_id] = record.title
        return LiveTitles(titles, is_complete=len(rows) <= MAX_ITEMS)
