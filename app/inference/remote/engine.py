"""Engine of a process without a model: queries go to the model process, popular items are answered locally.

Holds one connection, reopens it when it ends, and keeps the catalogue of the version that serves. No caller waits
beyond its deadline, even if the model process hangs. Does not load torch.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.errors import ArtifactRejected, Draining, ModelUnavailable, ServiceError
from app.inference.comparison import ActivationOutcome
from app.inference.live.items import LiveItems
from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.remote.connection import PROCESS_ENDED, ModelConnection
from app.inference.remote.protocol import ResidentsAnnouncement
from app.inference.remote.versions import RemoteVersion, open_copy, open_version
from app.model_repository.private_copies import PrivateCopies
from app.runtime.periodic import run_periodically
from app.telemetry.metrics import INDEX_RECALL
from models.catalogue.catalogue import Catalogue

log = logging.getLogger("nextup")

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.05, 1.0
"""Pause between two attempts to connect."""
STOP_S = 2.0
STALL_FALLBACK_S = 2.0
"""A process that owes answers for longer counts as hanging: queries fail immediately, so that popular items serve."""
PROBE_INTERVAL_S = 1.0
ACTIVATION_MARGIN_S = 10.0
"""The model process, which has the same limit, answers first."""
START_S = 5.0
"""Longest wait for the model process when a worker starts; then the worker starts without it."""


class RemoteEngine:
    """Forwards queries to the model process while `connect` is open; at most `max_pending` may wait."""

    def __init__(
        self,
        socket: Path,
        target_folder: Path,
        *,
        max_pending: int,
        activation_timeout_s: float = 900.0,
        copies: PrivateCopies | None = None,
        live: LiveItems | None = None,
    ) -> None:
        """ArtifactRejected if `target_folder` has no readable catalogue, which the popularity fallback needs.

        It is opened in `copies`; the model process announces copies of its own.
        """
        self._socket = socket
        self._max_pending = max_pending
        self._activation_timeout_s = activation_timeout_s + ACTIVATION_MARGIN_S
        self._live = live or LiveItems()
        if copies is None:
            self.servable = open_version(target_folder, self._live)
        else:
            self.servable = open_copy(target_folder, self._live, copies)
        self._previous = self.servable
        self.residents: Mapping[str, RemoteVersion] = {}
        self.resident_problems: Mapping[str, str] = {}
        self._former_residents: Mapping[str, RemoteVersion] = {}
        self._connection: ModelConnection | None = None
        self._was_connected = asyncio.Event()
        self._draining = False
        self._connection_problem: str | None = f"no model process answers at {socket}"

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        if self._draining:
            raise Draining
        if (reason := self.unavailable_reason) is not None:
            raise ModelUnavailable(reason)
        if isinstance(query, Query) and query.version is not None and query.version not in self.residents:
            query = replace(query, version=None)
        return await self._get_connection().find_top_items(query, deadline)

    @property
    def stalled_s(self) -> float:
        """Seconds for which the process has owed an answer to all queries; 0 while it owes none."""
        since = None if self._connection is None else self._connection.waiting_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def unavailable_reason(self) -> str | None:
        """Why the model cannot answer at the moment; None if it can."""
        if self._connection_problem is not None or self._connection is None:
            return self._connection_problem
        if (seconds := self.stalled_s) > STALL_FALLBACK_S:
            return f"the model process has answered nothing for {seconds:.0f} s"
        return self._connection.model_problem

    async def _probe(self) -> None:
        """Send a query to a process that hangs, so that its return is noticed; callers get popular items meanwhile."""
        connection = self._connection
        if connection is not None and self.unavailable_reason is not None:
            query = Query(history=np.array(self.servable.catalogue.keys.keys[:1]), k=1)
            with suppress(ServiceError):
                deadline = asyncio.get_running_loop().time() + PROBE_INTERVAL_S
                await connection.find_top_items(query, deadline)

    @property
    def pending_count(self) -> int:
        """Number of unanswered queries."""
        return 0 if self._connection is None else self._connection.pending_count

    def update_gauges(self) -> None:
        """Do nothing: the model process refreshes its own gauges."""

    async def activate(self, version: str) -> ActivationOutcome:
        """See ModelActivator.activate."""
        try:
            async with asyncio.timeout(self._activation_timeout_s):
                return await self._get_connection().activate(version)
        except TimeoutError:
            raise ModelUnavailable(
                f"the model process did not activate the version within {self._activation_timeout_s:g} s; "
                "GET /models shows whether it does later"
            ) from None

    @asynccontextmanager
    async def connect(self, drain_s: float) -> AsyncIterator[None]:
        """Stay connected until the block ends, then wait at most `drain_s` for pending queries."""
        task = asyncio.create_task(self._stay_connected(), name="model-connection")
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._was_connected.wait()
        try:
            async with run_periodically(self._probe, every_s=PROBE_INTERVAL_S, name="model probe"):
                yield
        finally:
            self._draining = True
            if self._connection is not None:
                await self._connection.drain(drain_s if self.unavailable_reason is None else 0.0)
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
                self._connection_problem = f"no model process answers at {self._socket}: {error.strerror}"
            except ArtifactRejected as error:
                self._connection_problem = error.detail
                log.error("model unavailable in this worker, answering without it: %s", error.detail)
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
            if isinstance(announcement, ResidentsAnnouncement):
                await self._open_residents(announcement)
                connection.frames.resume()
                continue
            info = announcement.model_info
            if info.version == self.servable.version:
                serving = self.servable
                self.servable = RemoteVersion(info.version, serving.catalogue, serving.followers, info, serving.live)
            else:
                version = await asyncio.to_thread(open_version, Path(announcement.folder), self._live, info)
                self._previous, self.servable = self.servable, version
            INDEX_RECALL.set(info.index_recall)
            if self._connection is None:
                if self._was_connected.is_set():
                    log.warning("reconnected to the model process, which serves version %s", info.version)
                self._connection, self._connection_problem = connection, None
                self._was_connected.set()
            connection.frames.resume()
        if not self._draining and self._connection is not None:
            log.warning("%s; answering without the model until it restarts", PROCESS_ENDED)
        self._connection_problem = PROCESS_ENDED

    async def _open_residents(self, announcement: ResidentsAnnouncement) -> None:
        """Open the catalogues of new versions and release those of others; one that fails gets no query."""
        residents: dict[str, RemoteVersion] = {}
        problems = dict(announcement.problems)
        for version, folder in announcement.folders.items():
            try:
                if (resident := self.residents.get(version)) is None:
                    resident = await asyncio.to_thread(open_version, Path(folder), self._live)
                residents[version] = resident
            except ArtifactRejected as error:
                problems[version] = error.public_detail
                log.error("version %s gets no query of this worker: %s", version, error.detail)
        self._former_residents, self.residents, self.resident_problems = self.residents, residents, problems

    def _find_catalogue(self, version: str) -> Catalogue | None:
        """Catalogue of a version that serves, or did so until the last change: a batch may have run meanwhile."""
        for servable in (self.servable, self._previous):
            if servable.version == version:
                return servable.catalogue
        resident = self.residents.get(version) or self._former_residents.get(version)
        return None if resident is None else resident.catalogue
