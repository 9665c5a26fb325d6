"""Engine of a process without a model: queries go to the model process, popular items are answered locally.

Holds one connection, reopens it when it ends, and keeps the catalogue of the version that serves. No caller waits
beyond its deadline, even if the model process hangs. Does not load torch.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.errors import ArtifactRejected, Draining, ModelUnavailable
from app.inference.interfaces import ModelInfo
from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.remote.connection import PROCESS_ENDED, ModelConnection
from app.model_repository.repository import read_version
from app.telemetry.metrics import INDEX_RECALL
from models.catalogue.catalogue import Catalogue
from models.catalogue.files import open_catalogue

log = logging.getLogger("nextup")

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.05, 1.0
"""Pause between two attempts to connect."""
STOP_S = 2.0
START_S = 5.0
"""Longest wait for the model process when a worker starts; then the worker starts without it."""


class RemoteVersion:
    """A version whose model is in another process."""

    def __init__(self, version: str, catalogue: Catalogue, model_info: ModelInfo | None = None) -> None:
        self.version = version
        self.catalogue = catalogue
        self.model_info = model_info


class RemoteEngine:
    """Forwards queries to the model process while `connect` is open; at most `max_pending` may wait."""

    def __init__(self, socket: Path, target_folder: Path, *, max_pending: int) -> None:
        """ArtifactRejected if `target_folder` has no readable catalogue, which the popularity fallback needs."""
        self._socket = socket
        self._max_pending = max_pending
        self.servable = _open_version(target_folder)
        self._previous = self.servable
        self._connection: ModelConnection | None = None
        self._was_connected = asyncio.Event()
        self._draining = False
        self.unavailable_reason: str | None = f"no model process answers at {socket}"

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        if self._draining:
            raise Draining
        return await self._get_connection().find_top_items(query, deadline)

    @property
    def pending_count(self) -> int:
        """Number of unanswered queries."""
        return 0 if self._connection is None else self._connection.pending_count

    def update_gauges(self) -> None:
        """Do nothing: the model process refreshes its own gauges."""

    async def activate(self, version: str) -> str:
        """See ModelActivator.activate."""
        return await self._get_connection().activate(version)

    @asynccontextmanager
    async def connect(self, drain_s: float) -> AsyncIterator[None]:
        """Stay connected until the block ends, then wait at most `drain_s` for pending queries."""
        task = asyncio.create_task(self._stay_connected(), name="model-connection")
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._was_connected.wait()
        try:
            yield
        finally:
            self._draining = True
            if self._connection is not None:
                await self._connection.drain(drain_s)
            task.cancel()
            await asyncio.wait([task], timeout=STOP_S)

    def _get_connection(self) -> ModelConnection:
        if self._connection is None:
            raise ModelUnavailable(self.unavailable_reason or "the model process is not connected")
        return self._connection

    async def _stay_connected(self) -> None:
        backoff_s = MIN_BACKOFF_S
        while True:
            connection = ModelConnection(self._find_catalogue, max_pending=self._max_pending)
            try:
                await asyncio.get_running_loop().create_unix_connection(connection.get_frames, str(self._socket))
                await self._follow_announcements(connection)
                backoff_s = MIN_BACKOFF_S
            except OSError as error:
                self.unavailable_reason = f"no model process answers at {self._socket}: {error.strerror}"
            except ArtifactRejected as error:
                self.unavailable_reason = error.detail
                log.error("model unavailable in this worker, serving the popularity fallback: %s", error.detail)
            finally:
                self._connection = None
                connection.abort()
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def _follow_announcements(self, connection: ModelConnection) -> None:
        """Switch to each announced version until the connection ends.

        Results behind an announcement wait until the catalogue of its version is open.
        """
        while (announcement := await connection.wait_for_announcement()) is not None:
            info = announcement.model_info
            if info.version == self.servable.version:
                self.servable = RemoteVersion(info.version, self.servable.catalogue, info)
            else:
                version = await asyncio.to_thread(_open_version, Path(announcement.folder), info)
                self._previous, self.servable = self.servable, version
            INDEX_RECALL.set(info.index_recall)
            if self._connection is None:
                if self._was_connected.is_set():
                    log.warning("reconnected to the model process, which serves version %s", info.version)
                self._connection, self.unavailable_reason = connection, None
                self._was_connected.set()
            connection.frames.resume()
        if not self._draining and self._connection is not None:
            log.warning("%s; serving the popularity fallback until it restarts", PROCESS_ENDED)
        self.unavailable_reason = PROCESS_ENDED

    def _find_catalogue(self, version: str) -> Catalogue | None:
        """Catalogue of the serving or the previous version, which a batch that ran during the swap used."""
        for servable in (self.servable, self._previous):
            if servable.version == version:
                return servable.catalogue
        return None


def _open_version(folder: Path, model_info: ModelInfo | None = None) -> RemoteVersion:
    """ArtifactRejected if the folder does not hold this version with a readable catalogue."""
    stored = read_version(folder)
    if stored is None:
        raise ArtifactRejected(f"{folder} holds no readable artifact")
    if model_info is not None and stored.version != model_info.version:
        raise ArtifactRejected(
            f"{folder} now holds version {stored.version}, but the model serves {model_info.version}"
        )
    try:
        return RemoteVersion(stored.version, open_catalogue(folder), model_info)
    except Exception as error:  # Parquet and safetensors readers raise many kinds
        raise ArtifactRejected(f"the catalogue in {folder} cannot be read: {error!r}") from error
