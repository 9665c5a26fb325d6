"""Which items are new: by the serving version of this process, or as services have said in Redis.

A command that stores events, such as `nextup consume`, has no version. Services write the listed items that their
serving version does not know to Redis whenever these change, and such a command reads them now and then.
"""

import asyncio
import math
import time
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

import numpy as np

from app.errors import ServiceError
from app.inference import Engine
from app.runtime.periodic import run_periodically
from app.stores.cooccurrences import MAX_ITEMS, CooccurrenceStore
from models.catalogue.item_key import ItemKeys, item_keys

ANNOUNCE_INTERVAL_S = 1.0
REPEAT_INTERVAL_S = 60.0
"""After this time the same items are announced again: Redis may have lost them."""
READ_INTERVAL_S = 1.0


class NewItemSource(Protocol):
    """Knows new items."""

    async def select_new(self, item_ids: Sequence[str]) -> Collection[str]:
        """Return those items that are in the live catalogue and that the serving version does not know."""


class ServingVersionSource:
    """New items by the serving version of this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def select_new(self, item_ids: Sequence[str]) -> Collection[str]:
        serving = self._engine.servable
        live = serving.live.live
        if not live.count:
            return ()
        known = serving.catalogue.select_known(item_ids)
        return {item_id for item_id in item_ids if item_id not in known and live.is_listed(item_id)}


class AnnouncedSource:
    """New items as services have announced them, at most READ_INTERVAL_S ago; those known before if Redis is away."""

    def __init__(self, store: CooccurrenceStore) -> None:
        self._store = store
        self._keys: frozenset[int] = frozenset()
        self._due_at = 0.0

    async def select_new(self, item_ids: Sequence[str]) -> Collection[str]:
        if time.monotonic() >= self._due_at:
            with suppress(ServiceError):
                self._keys = frozenset((await self._store.read_new_items()).tolist())
            self._due_at = time.monotonic() + READ_INTERVAL_S
        if not self._keys:
            return ()
        keys = item_keys(item_ids).tolist()
        return {item_id for item_id, key in zip(item_ids, keys, strict=True) if key in self._keys}


class NewItemAnnouncer:
    """Writes the new items of a service to Redis when the live catalogue or the serving version has changed."""

    def __init__(self, engine: Engine, store: CooccurrenceStore) -> None:
        self._engine = engine
        self._store = store
        self._revision: tuple[str, int] | None = None
        self._announced: bytes | None = None
        self._announced_at = -math.inf

    def run(self) -> AbstractAsyncContextManager[None]:
        """Announce until the block ends."""
        return run_periodically(
            self._announce, every_s=ANNOUNCE_INTERVAL_S, name="announcement of new items", starts_immediately=True
        )

    async def _announce(self) -> None:
        serving = self._engine.servable
        revision = serving.version, serving.live.live.revision
        is_due = time.monotonic() - self._announced_at >= REPEAT_INTERVAL_S
        if revision == self._revision and not is_due:
            return
        keys = await asyncio.to_thread(self._find_keys)
        with suppress(ServiceError):  # the next step tries again
            if is_due or keys.tobytes() != self._announced:
                await self._store.put_new_items(keys)
                self._announced, self._announced_at = keys.tobytes(), time.monotonic()
            self._revision = revision

    def _find_keys(self) -> ItemKeys:
        """Return the keys of new items, of those that changed last if there are more than MAX_ITEMS."""
        view = self._engine.servable.live
        rows = view.find_unknown_rows()
        newest = rows[np.argsort(view.live.listed_at.values[rows])[-MAX_ITEMS:]]
        return np.sort(view.live.keys.values[newest])
