"""Background poll of Redis and the model, so that /readyz and /metrics answer quickly even when Redis is down."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import StoreUnavailable
from app.inference import Engine
from app.runtime.periodic import run_periodically
from app.stores.history import HistoryStore
from app.stores.results import StoreUsage
from app.telemetry.metrics import (
    STORE_KEYS,
    STORE_MEMORY,
    STORE_MEMORY_LIMIT,
    STORE_STARTUP_MEMORY,
    STORE_UP,
    STORE_USERS,
    sample_process_memory,
)

log = logging.getLogger("nextup")

POLL_INTERVAL_S = 2.0
NOT_POLLED = "Redis has not been polled yet"


class HealthMonitor:
    """`draining` is set when the service begins to shut down; `store_problem` is None while Redis answers."""

    def __init__(self, store: HistoryStore, engine: Engine, *, stall_s: float = 10.0) -> None:
        self._stall_s = stall_s
        self._store = store
        self._engine = engine
        self.draining = False
        self.store_problem: str | None = NOT_POLLED
        self.usage: StoreUsage | None = None
        """Memory and users of Redis; None before it was read."""
        self._usage_failed = False

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Poll once before the block begins, then every POLL_INTERVAL_S until it ends."""
        await self.poll()
        async with run_periodically(self.poll, every_s=POLL_INTERVAL_S, name="health check"):
            yield

    def update_gauges(self) -> None:
        """Refresh the gauges of this process, which is cheap."""
        self._engine.update_gauges()
        sample_process_memory()

    @property
    def model_problem(self) -> str | None:
        """Why the model is unavailable; None if it is available."""
        return self._engine.unavailable_reason

    @property
    def stall(self) -> str | None:
        """Why the process should be replaced; None while the model makes progress."""
        seconds = self._engine.stalled_s
        return f"the model has made no progress for {seconds:.0f} s" if seconds > self._stall_s else None

    async def poll(self) -> None:
        """Refresh the gauges and `store_problem`."""
        self.update_gauges()
        try:
            await self._store.ping()
        except StoreUnavailable as error:
            if self.store_problem is None:  # one log line per outage, not one per request
                log.warning("Redis stopped answering: %s", error.detail)
            self.store_problem = error.detail
            STORE_UP.set(0)
        else:
            if self.store_problem not in (None, NOT_POLLED):
                log.warning("Redis answers again")
            self.store_problem = None
            STORE_UP.set(1)
            await self._read_usage()

    async def _read_usage(self) -> None:
        """Refresh the gauges of the store. Histories do not need INFO, so a user without it is no outage."""
        try:
            usage = await self._store.read_usage()
        except StoreUnavailable as error:
            if not self._usage_failed:
                log.warning("the memory of Redis cannot be read, and its metrics stay as they are: %s", error.detail)
            self._usage_failed = True
            return
        self._usage_failed = False
        self.usage = usage
        STORE_MEMORY.set(usage.memory_bytes)
        STORE_STARTUP_MEMORY.set(usage.startup_bytes)
        STORE_MEMORY_LIMIT.set(usage.limit_bytes)
        STORE_KEYS.set(usage.keys)
        STORE_USERS.set(usage.users)
