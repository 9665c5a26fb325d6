"""Follows the placements in Redis: every process reads their stamp several times a second, and all if it changed.

While Redis is away, a process keeps the placements that it knows.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import StoreUnavailable
from app.rules.settings import PlacementSettings
from app.runtime.periodic import run_periodically
from app.stores.placements import PlacementStore

log = logging.getLogger("nextup")

POLL_INTERVAL_S = 0.4


class PlacementFollower:
    """The placements of one process. Belongs to the event loop."""

    def __init__(self, store: PlacementStore) -> None:
        self._store = store
        self._settings: dict[str, PlacementSettings] = {}
        self._stamp: bytes | None = None
        self._lock = asyncio.Lock()
        self._is_away = False

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Read all placements before the block begins, as far as Redis answers, and follow them until it ends."""
        await self._poll()
        async with run_periodically(self._poll, every_s=POLL_INTERVAL_S, name="placements"):
            yield

    def find(self, name: str) -> PlacementSettings | None:
        """Return the settings of a placement; None if there is none of this name."""
        return self._settings.get(name)

    async def catch_up(self) -> None:
        """Read all changes; StoreUnavailable if Redis does not answer."""
        async with self._lock:
            stamp = await self._store.read_stamp()  # before the settings, which may be newer
            if stamp != self._stamp:
                self._settings = decode_all(await self._store.read())
                self._stamp = stamp

    async def _poll(self) -> None:
        try:
            await self.catch_up()
        except StoreUnavailable as error:  # the circuit breaker of Redis warns, once for all that use it
            if not self._is_away:
                log.info("placements are not read; they stay as they are: %s", error.detail)
            self._is_away = True
        else:
            self._is_away = False


def decode_all(values: dict[str, bytes]) -> dict[str, PlacementSettings]:
    """Decode the settings of placements; damaged ones are left out, so that they harm no other placement."""
    decoded = {}
    for name, value in values.items():
        try:
            decoded[name] = PlacementSettings.decode(value)
        except ValueError as error:
            log.warning("placement %r is damaged and ignored; put it again: %s", name, str(error)[:200])
    return decoded
