"""Follows the experiments: every process reads their token several times a second, and the records if it has changed.

While Redis is away, a process keeps what it knows. It is at most POLL_INTERVAL_S and one read behind.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import StoreUnavailable
from app.experiment_state.assignment import Assignment, VariantSplit
from app.runtime.periodic import run_periodically
from app.stores.experiment_records import Shadow
from app.stores.experiments import ExperimentState, ExperimentStore

log = logging.getLogger("nextup")

POLL_INTERVAL_S = 0.4


class ExperimentFollower:
    """Holds the newest state that this process has read. Belongs to the event loop."""

    def __init__(self, store: ExperimentStore) -> None:
        self.store = store
        self.state = ExperimentState()
        self.split: VariantSplit | None = None
        """Assigns users to variants; None while no experiment runs."""
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Read the state before the block begins, if Redis answers, and follow until it ends."""
        await self._poll()
        async with run_periodically(self._poll, every_s=POLL_INTERVAL_S, name="experiments"):
            yield

    @property
    def shadow(self) -> Shadow | None:
        """The shadow version; None when its time has passed."""
        shadow = self.state.shadow
        return shadow if shadow is not None and time.time() * 1000 < shadow.ends_at else None

    def list_versions(self) -> set[str]:
        """List the versions that must be able to answer in addition to the serving one."""
        versions = set() if self.split is None else {variant.version for variant in self.split.experiment.variants}
        if (shadow := self.shadow) is not None:
            versions.add(shadow.version)
        return {version for version in versions if version is not None}

    def assign(self, user_id: str | None, placement: str | None) -> Assignment | None:
        """Return the variant of a request; None without an experiment or a user id, or outside of its placement."""
        if self.split is None or user_id is None:
            return None
        is_outside = self.split.experiment.placement not in (None, placement)
        return None if is_outside else self.split.assign(user_id)

    async def catch_up(self) -> None:
        """Read the newest state; StoreUnavailable if Redis does not answer."""
        async with self._lock:
            if await self.store.read_token() == self.state.token:
                return
            self.state = await self.store.read()
            running, previous = self.state.running, self.split
            self.split = None if running is None else VariantSplit(running)
            if previous is not None and (running is None or running.name != previous.experiment.name):
                log.info("experiment %s has ended", previous.experiment.name)
            if running is not None and (previous is None or running != previous.experiment):
                log.info("experiment %s assigns users to %d variants", running.name, len(running.variants))

    async def _poll(self) -> None:
        try:
            await self.catch_up()
        except StoreUnavailable as error:  # the circuit breaker of Redis warns, once for all that use it
            log.debug("experiments are not read and stay as they are: %s", error.detail)
