"""Swaps model versions: a new version is loaded next to the serving one, verified, and swapped in between two batches.

The repository's pointer file names the target version. A worker that activates a version writes it there; every other
worker finds it at its next poll and reconciles. Any failure before the swap leaves the old version serving.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

from app.errors import ActivationInProgress, ArtifactRejected, NotFound
from app.inference.local_engine import InferenceEngine
from app.inference.servable import Servable
from app.model_repository.repository import LockHeld, ModelRepository, PointerStamp, StoredVersion
from app.runtime.periodic import run_periodically
from app.telemetry.metrics import MODEL_RELOADS

log = logging.getLogger("nextup")

POLL_INTERVAL_S = 1.0


class ModelManager:
    """Keeps the engine at the target version of the repository.

    `load` opens, verifies and warms up a folder in a thread, and raises ArtifactRejected if it cannot serve.
    """

    def __init__(self, repository: ModelRepository, engine: InferenceEngine, load: Callable[[Path], Servable]) -> None:
        self._repository = repository
        self._engine = engine
        self._load = load
        self._load_lock = asyncio.Lock()
        self._poll_lock = asyncio.Lock()
        self._reconciled_stamp: PointerStamp | None = None

    @property
    def servable(self) -> Servable:
        return self._engine.servable

    @property
    def is_loading(self) -> bool:
        return self._load_lock.locked()

    async def activate(self, version: str) -> str:
        """Make `version` the target and serving version and return the previous one.

        NotFound, ArtifactRejected, ActivationInProgress: nothing has changed.
        """
        if self.is_loading:
            raise self._reject_concurrent()
        async with self._load_lock:
            stored = await asyncio.to_thread(self._repository.find, version)
            if stored is None:
                raise NotFound(f"there is no version {version!r}; GET /models lists all versions")
            previous = self.servable.version
            if previous == version == await self._get_target_version():
                return previous
            try:
                with self._repository.exclusive_lock():
                    servable = self.servable if previous == version else await self._load_version(stored)
                    # Persist the target version before the swap, so a failed write leaves every worker unchanged.
                    await asyncio.to_thread(self._repository.set_target_version, version)
            except LockHeld:
                raise self._reject_concurrent() from None
            self._swap(servable)
            return previous

    async def poll(self) -> None:
        """Reconcile if the pointer file has been replaced since the last poll.

        A target version that was rejected is therefore not retried until the pointer changes again.
        """
        async with self._poll_lock:  # a concurrent poll waits for the reconciliation that this one starts
            stamp = await asyncio.to_thread(self._repository.read_pointer_stamp)
            if stamp == self._reconciled_stamp:
                return
            self._reconciled_stamp = stamp
            if await self._get_target_version() != self.servable.version:
                await self._reconcile()

    def run(self) -> AbstractAsyncContextManager[None]:
        """Poll every `POLL_INTERVAL_S` until the block ends."""
        return run_periodically(self.poll, every_s=POLL_INTERVAL_S, name="target version poll", starts_immediately=True)

    async def _reconcile(self) -> None:
        """Load the target version and swap it in; a version that is missing or rejected is logged and counted."""
        async with self._load_lock:
            # Read again under the lock, the stamp first: the target may have changed, and a rejected target must not
            # be retried.
            self._reconciled_stamp = await asyncio.to_thread(self._repository.read_pointer_stamp)
            target = await self._get_target_version()
            if target == self.servable.version:
                return
            stored = await asyncio.to_thread(self._repository.find, target)
            if stored is None:
                log.error("target version %s not found; still serving %s", target, self.servable.version)
                MODEL_RELOADS.labels("rejected").inc()
                return
            with suppress(ArtifactRejected):  # already logged and counted
                self._swap(await self._load_version(stored))

    async def _get_target_version(self) -> str:
        return await asyncio.to_thread(self._repository.get_target_version) or self.servable.version

    async def _load_version(self, stored: StoredVersion) -> Servable:
        try:
            servable = await asyncio.to_thread(self._load, stored.folder)
            if servable.version != stored.version:
                raise ArtifactRejected(f"{stored.folder} was replaced by version {servable.version} during the load")
        except Exception as error:
            MODEL_RELOADS.labels("rejected").inc()
            log.error("version %s rejected; still serving %s: %s", stored.version, self.servable.version, error)
            if isinstance(error, ArtifactRejected):
                raise
            raise ArtifactRejected(f"{stored.folder} cannot be loaded: {error!r}") from error
        return servable

    def _swap(self, servable: Servable) -> None:
        if servable is self.servable:
            return
        log.warning("serving version %s; the previous version was %s", servable.version, self.servable.version)
        self._engine.swap(servable)
        MODEL_RELOADS.labels("ok").inc()

    def _reject_concurrent(self) -> ActivationInProgress:
        MODEL_RELOADS.labels("busy").inc()
        return ActivationInProgress()
