"""The engine of a process without a model: queries go to the model's process, popularity is answered here.

It holds one connection, comes back to it when it ends, and keeps the catalogue of the version that serves there. Nobody
waits beyond the deadline, whatever the other process does. It loads no torch.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from app.errors import ArtifactRejected, Draining, ModelUnavailable
from app.inference.interfaces import ModelInfo
from app.inference.popularity import find_popular_items
from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.remote.connection import ModelConnection
from app.inference.remote.framing import FramedConnection
from app.model_repository.repository import read_version
from app.telemetry.metrics import INDEX_RECALL
from models.catalogue.catalogue import Catalogue
from models.catalogue.files import open_catalogue

log = logging.getLogger("nextup")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""Between two attempts to connect."""
END_S = 2.0
START_S = 5.0
"""A worker that starts waits so long for the model's process, and then begins without it."""


class RemoteVersion:
    """What a process without a model knows of a version."""

    def __init__(self, version: str, catalogue: Catalogue, model_info: ModelInfo | None = None) -> None:
        self.version = version
        self.catalogue = catalogue
        self.model_info = model_info


class RemoteEngine:
    """`max_pending` queries may wait for the model's process. Opened by `connect`, and until then of no use."""

    def __init__(self, socket: Path, wanted: Path, *, max_pending: int) -> None:
        """ArtifactRejected if the catalogue in `wanted` cannot be read: popularity needs one from the start."""
        self._socket = socket
        self._most = max_pending
        self.servable = _known(wanted)
        self._before = self.servable
        self._connection: ModelConnection | None = None
        self._came = asyncio.Event()
        self._draining = False
        self.unavailable_reason: str | None = f"no model process answers at {socket}"

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        if self._draining:
            raise Draining
        if self._connection is None:
            raise ModelUnavailable(self.unavailable_reason or "the model's process is away")
        return await self._connection.find_top_items(query, deadline)

    def find_popular_items(self, query: Query) -> TopItems:
        return find_popular_items(self.servable.catalogue, self.servable.version, query)

    @property
    def pending_count(self) -> int:
        """Queries without an answer."""
        return 0 if self._connection is None else self._connection.pending_count

    def update_gauges(self) -> None:
        """The model's process refreshes its own."""

    async def activate(self, version: str) -> str:
        """What ModelManager.activate says there; ModelUnavailable besides."""
        if self._connection is None:
            raise ModelUnavailable(self.unavailable_reason or "the model's process is away")
        return await self._connection.activate(version)

    @asynccontextmanager
    async def connect(self, drain_s: float) -> AsyncIterator[None]:
        """Until the block ends; then, for at most `drain_s`, until what was asked is answered."""
        task = asyncio.create_task(self._stay_connected(), name="model-connection")
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._came.wait()
        try:
            yield
        finally:
            self._draining = True
            if self._connection is not None:
                await self._connection.drain(drain_s)
            task.cancel()
            await asyncio.wait([task], timeout=END_S)

    async def _stay_connected(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            connection = ModelConnection(self._catalogue_of, max_pending=self._most)
            try:
                opened = partial(_itself, connection.frames)
                await asyncio.get_running_loop().create_unix_connection(opened, str(self._socket))
                await self._follow(connection)
                pause_s = FIRST_PAUSE_S
            except OSError as error:
                self.unavailable_reason = f"no model process answers at {self._socket}: {error.strerror}"
            except ArtifactRejected as error:
                self.unavailable_reason = error.detail
                log.error("this worker does without the model: %s", error.detail)
            finally:
                self._connection = None
                connection.close()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _follow(self, connection: ModelConnection) -> None:
        """Until the connection ends. Answers behind the word of a new version wait until its catalogue is there."""
        while (serving := await connection.wait_for_announcement()) is not None:
            model_info = serving.model_info
            if model_info.version == self.servable.version:
                self.servable = RemoteVersion(model_info.version, self.servable.catalogue, model_info)
            else:
                known = await asyncio.to_thread(_known, Path(serving.folder), model_info)
                self._before, self.servable = self.servable, known
            INDEX_RECALL.set(model_info.index_recall)
            if self._connection is None:
                if self._came.is_set():
                    log.warning("the model's process answers again, with version %s", model_info.version)
                self._connection, self.unavailable_reason = connection, None
                self._came.set()
            connection.frames.resume()
        if not self._draining and self._connection is not None:
            log.warning("the model's process ended; popularity answers until another one is there")
        self.unavailable_reason = "the model's process ended"

    def _catalogue_of(self, version: str) -> Catalogue | None:
        """A batch that was running at the change is of the version before."""
        for known in (self.servable, self._before):
            if known.version == version:
                return known.catalogue
        return None


def _itself(frames: FramedConnection) -> FramedConnection:
    return frames


def _known(folder: Path, model_info: ModelInfo | None = None) -> RemoteVersion:
    """ArtifactRejected if there is no such version in the folder, or no catalogue."""
    stored = read_version(folder)
    if stored is None:
        raise ArtifactRejected(f"{folder} holds no artifact that can be read")
    if model_info is not None and stored.version != model_info.version:
        raise ArtifactRejected(f"{folder} was replaced by version {stored.version}; the model is {model_info.version}")
    try:
        return RemoteVersion(stored.version, open_catalogue(folder), model_info)
    except Exception as error:  # of the file's readers, which have many
        raise ArtifactRejected(f"the catalogue in {folder} cannot be read: {error!r}") from error
