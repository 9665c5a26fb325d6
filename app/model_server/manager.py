"""Which version serves: loaded beside the one that does, checked, and put in its place between two batches.

The folder of versions says what is wanted. A worker that is told to activate a version says so there, and every other
worker finds it when it next looks. Whatever goes wrong before the change leaves the old version serving. No HTTP.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.errors import ActivationInProgress, ArtifactRejected, NotFound
from app.inference.local_engine import InferenceEngine
from app.inference.servable import Servable
from app.model_repository.repository import LockHeld, ModelRepository, PointerStamp, StoredVersion
from app.runtime.periodic import run_periodically
from app.telemetry.metrics import MODEL_RELOADS

log = logging.getLogger("nextup")

EVERY_S = 1.0


class ModelManager:
    """`load` opens, checks and warms up a folder, ArtifactRejected if it may not serve; it runs in a thread."""

    def __init__(self, versions: ModelRepository, engine: InferenceEngine, load: Callable[[Path], Servable]) -> None:
        self._versions = versions
        self._engine = engine
        self._load = load
        self._loading = asyncio.Lock()
        self._seen: PointerStamp | None = None
        self._looking = asyncio.Lock()

    @property
    def servable(self) -> Servable:
        return self._engine.servable

    @property
    def is_loading(self) -> bool:
        return self._loading.locked()

    async def list_versions(self) -> list[StoredVersion]:
        return await asyncio.to_thread(self._versions.versions)

    async def get_target_version(self) -> str:
        return await asyncio.to_thread(self._versions.get_target_version) or self.servable.version

    async def activate(self, version: str) -> str:
        """The version that served before. NotFound, ArtifactRejected, or ActivationInProgress: nothing has changed then."""
        if self.is_loading:
            raise self._busy()
        async with self._loading:
            stored = await asyncio.to_thread(self._versions.find, version)
            if stored is None:
                raise NotFound(f"there is no version {version!r} in {self._versions.path}")
            before = self.servable.version
            if before == version == await self.get_target_version():
                return before
            try:
                with self._versions.exclusive_lock():
                    servable = self.servable if before == version else await self._opened(stored)
                    # The wish before the change: if it cannot be written, no worker has changed.
                    await asyncio.to_thread(self._versions.set_target_version, version)
            except LockHeld:
                raise self._busy() from None
            self._use(servable)
            return before

    async def poll(self) -> None:
        """Come to the version that is wanted, if the wish has changed since the last look.

        A version that is refused is not tried again until then.
        """
        async with self._looking:  # a second look waits for what the first one began
            await self._look()

    async def _look(self) -> None:
        stamp = await asyncio.to_thread(self._versions.read_pointer_stamp)
        if stamp == self._seen:
            return
        self._seen = stamp
        if await self.get_target_version() == self.servable.version:
            return
        async with self._loading:
            # Again, and in this order: the wish may have changed since, and one that is refused must not be met twice.
            self._seen = await asyncio.to_thread(self._versions.read_pointer_stamp)
            wanted = await self.get_target_version()
            if wanted == self.servable.version:
                return
            stored = await asyncio.to_thread(self._versions.find, wanted)
            if stored is None:
                log.error("version %s is wanted and not there; %s goes on", wanted, self.servable.version)
                MODEL_RELOADS.labels("rejected").inc()
                return
            with suppress(ArtifactRejected):  # told and counted
                self._use(await self._opened(stored))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Look every `EVERY_S` until the block ends."""
        async with run_periodically(self.poll, every_s=EVERY_S, name="target version check", starts_immediately=True):
            yield

    async def _opened(self, stored: StoredVersion) -> Servable:
        try:
            servable = await asyncio.to_thread(self._load, stored.folder)
            if servable.version != stored.version:
                raise ArtifactRejected(f"{stored.folder} was replaced meanwhile by version {servable.version}")
        except Exception as error:
            MODEL_RELOADS.labels("rejected").inc()
            log.error("version %s is refused, %s goes on: %s", stored.version, self.servable.version, error)
            if isinstance(error, ArtifactRejected):
                raise
            raise ArtifactRejected(f"{stored.folder} cannot be loaded: {error!r}") from error
        return servable

    def _use(self, servable: Servable) -> None:
        if servable is self.servable:
            return
        log.warning("version %s serves, after %s", servable.version, self.servable.version)
        self._engine.swap(servable)
        MODEL_RELOADS.labels("ok").inc()

    def _busy(self) -> ActivationInProgress:
        MODEL_RELOADS.labels("busy").inc()
        return ActivationInProgress()
