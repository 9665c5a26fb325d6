"""Keeps the new items of every loaded version at the newest live catalogue, as long as the version exists."""

import asyncio
import logging
import threading
import time
import weakref
from contextlib import AbstractAsyncContextManager

from app.inference.servable import Servable
from app.runtime.periodic import run_periodically

log = logging.getLogger("nextup")

Revision = tuple[int, int]
INTERVAL_S = 0.5
PAUSE_RATIO = 10
"""Pause after a placement by its own time, so that a catalogue that changes all the time costs a tenth of a core."""


class NewItemPlacer:
    """Places at most `limit` new items per version; 0 places none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._revisions: weakref.WeakKeyDictionary[Servable, Revision] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._due_at = 0.0

    def add(self, servable: Servable) -> None:
        """Place the new items of a version that is loaded, before it serves; in any thread."""
        if self._limit:
            self._place(servable)

    def run(self) -> AbstractAsyncContextManager[None]:
        """Follow the live catalogue until the block ends."""
        return run_periodically(self._refresh, every_s=INTERVAL_S, name="new items")

    async def _refresh(self) -> None:
        if time.monotonic() < self._due_at:
            return
        with self._lock:
            versions = list(self._revisions.items())
        outdated = [servable for servable, revision in versions if revision != _read_revision(servable)]
        versions.clear()  # this task must not keep a version alive
        while outdated:
            await asyncio.to_thread(self._place, outdated.pop())

    def _place(self, servable: Servable) -> None:
        started_at, revision = time.monotonic(), _read_revision(servable)  # before the rows
        try:
            servable.place_new_items(self._limit)
        except Exception:
            log.exception("version %s: new items stay as they are, because placing them failed", servable.version)
        with self._lock:
            self._revisions[servable] = revision
        finished_at = time.monotonic()
        self._due_at = finished_at + PAUSE_RATIO * (finished_at - started_at)


def _read_revision(servable: Servable) -> Revision:
    live = servable.live.live
    return live.revision, live.cooccurrences.revision
