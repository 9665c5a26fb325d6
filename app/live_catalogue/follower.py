"""Follows the live catalogue: every process reads the changes since its last read, several times a second.

While Redis is away, a process keeps what it knows. Items in a process are at most POLL_INTERVAL_S and one read behind.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray

from app.errors import StoreUnavailable
from app.inference.live.items import LiveItems, LiveRow
from app.runtime.periodic import run_periodically
from app.stores.cooccurrences import CooccurrencePosition
from app.stores.item_records import ItemRecord
from app.stores.live_items import CataloguePosition, LiveItemStore
from app.telemetry.catalogue_metrics import CATALOGUE_BYTES, CATALOGUE_READ_AT, UNAVAILABLE_ITEMS

log = logging.getLogger("nextup")

POLL_INTERVAL_S = 0.4
STEP_CHANGES = 500
"""Changes that one step of the event loop applies: some 3 ms."""


class CatalogueFollower:
    """Applies the changes in `store` to `items`. Belongs to the event loop."""

    def __init__(self, store: LiveItemStore, items: LiveItems) -> None:
        self._store = store
        self.items = items
        self._position = CataloguePosition()
        self._cooccurrence_position = CooccurrencePosition()
        self._lock = asyncio.Lock()
        self._problem: str | None = None
        CATALOGUE_READ_AT.set(0)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Read everything before the block begins, as far as Redis answers, and follow until it ends."""
        await self._poll()
        async with run_periodically(self._poll, every_s=POLL_INTERVAL_S, name="live catalogue"):
            yield

    async def catch_up(self) -> None:
        """Apply all changes; StoreUnavailable if Redis does not answer."""
        async with self._lock:
            position = self._position
            current_rows: list[NDArray[np.int64]] | None = None  # of a catalogue that is read from its beginning
            while True:
                changes = await self._store.read_changes(position, STEP_CHANGES)
                position = changes.position
                if changes.restarts and self.items.count:
                    current_rows = []
                rows = self.items.apply({item_id: make_row(record) for item_id, record in changes.records.items()})
                if current_rows is None:
                    self._position = position
                else:
                    current_rows.append(rows)
                if changes.is_last:
                    break
                await asyncio.sleep(0)
            if current_rows is not None:  # at the end, so that the reads make no item available for a moment
                self.items.reset_except(np.concatenate(current_rows))
            self._position = position
            CATALOGUE_READ_AT.set_to_current_time()
            UNAVAILABLE_ITEMS.set(self.items.num_unavailable)
            CATALOGUE_BYTES.set(self.items.nbytes)

    async def _read_cooccurrences(self) -> None:
        is_last = False
        while not is_last:
            changes = await self._store.cooccurrences.read_changes(self._cooccurrence_position)
            self.items.cooccurrences.put(changes.neighbours, restarts=changes.restarts)
            self._cooccurrence_position, is_last = changes.position, changes.is_last
            await asyncio.sleep(0)

    async def _poll(self) -> None:
        started_at = time.monotonic()
        try:
            await self.catch_up()
            await self._read_cooccurrences()
        except StoreUnavailable as error:  # the circuit breaker of Redis warns, once for all that use it
            if self._problem is None:
                log.info("the live catalogue is not read; items stay as they are: %s", error.detail)
            self._problem = error.detail
        else:
            if self._problem is not None:
                log.info("the live catalogue is read again (%.1f s)", time.monotonic() - started_at)
            self._problem = None


def make_row(record: ItemRecord | None) -> LiveRow:
    """Make the row of a record, the default row for an item without one."""
    if record is None:
        return LiveRow()
    return LiveRow(record.available, record.categories, record.attributes, is_listed=True)
