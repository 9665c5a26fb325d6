"""Swaps model versions: a new one is loaded next to the serving one, compared with it, and swapped between two batches.

The repository's pointer file names the target version. A worker that activates a version writes it there; every other
worker finds it at its next poll and reconciles. Any failure before the swap leaves the old version serving. The
previous version stays in memory where there is room, so that a rollback loads nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from app.errors import ActivationInProgress, ArtifactRejected
from app.inference.comparison import ActivationOutcome, Comparison
from app.inference.local_engine import InferenceEngine
from app.inference.query import Query
from app.inference.servable import Servable
from app.model_repository.repository import LockHeld, ModelRepository, PointerStamp, StoredVersion
from app.model_server.activation import find_version
from app.model_server.comparison import Limits, check_comparison, compare_versions, publish_comparison
from app.model_server.retention import can_be_kept, has_room
from app.runtime.erasures import read_erasure_stamp
from app.runtime.periodic import run_periodically
from app.telemetry.version_metrics import MODEL_RELOADS

Loaded = tuple[Servable, Comparison | None]

log = logging.getLogger("nextup")

POLL_INTERVAL_S = 1.0
MIN_RETRY_S, MAX_RETRY_S = 5.0, 300.0
"""Pause before a rejected target version is tried again; it doubles with every rejection."""
DEFAULT_TIMEOUT_S = 900.0


class ModelManager:
    """Keeps the engine at the target version of the repository.

    `load` opens, verifies and warms up a folder in a thread, and raises ArtifactRejected if it cannot serve. A load
    that takes longer than `timeout_s` is rejected; no other one begins until its thread has ended.
    """

    def __init__(
        self,
        repository: ModelRepository,
        engine: InferenceEngine,
        load: Callable[[Path], Servable],
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        min_retry_s: float = MIN_RETRY_S,
        limits: Limits | None = None,
        keeps_previous: bool = True,
        data_dir: Path | None = None,
    ) -> None:
        """`limits` of the comparison with the serving version; None compares nothing.

        `data_dir` has the stamp of the last erasure, which drops the sample of queries.
        """
        self._limits = limits
        self._keeps_previous = keeps_previous
        self._previous: Servable | None = None
        self._data_dir = data_dir
        self._erasure_stamp = 0 if data_dir is None else read_erasure_stamp(data_dir)
        self._repository = repository
        self._engine = engine
        self._load = load
        self._load_lock = asyncio.Lock()
        self._poll_lock = asyncio.Lock()
        self._reconciled_stamp: PointerStamp | None = None
        self._timeout_s = timeout_s
        self._min_retry_s = self._retry_s = min_retry_s
        self._retry_at: float | None = None
        self._last_load: asyncio.Future[Loaded] | None = None

    @property
    def servable(self) -> Servable:
        return self._engine.servable

    @property
    def is_loading(self) -> bool:
        return self._load_lock.locked() or (self._last_load is not None and not self._last_load.done())

    async def activate(self, version: str) -> ActivationOutcome:
        """Make `version` the target and serving version and return the previous one with their comparison.

        NotFound, ArtifactRejected, ActivationInProgress: nothing has changed.
        """
        if self.is_loading:
            raise self._reject_concurrent()
        async with self._load_lock:
            stored = await asyncio.to_thread(find_version, self._repository, version)
            previous = self.servable.version
            if previous == version == await self.get_target_version():
                return ActivationOutcome(previous)
            try:
                with self._repository.exclusive_lock():
                    servable, comparison = await self._prepare(stored, self._limits)
                    # Persist the target version before the swap, so a failed write leaves every worker unchanged.
                    await asyncio.to_thread(self._repository.set_target_version, version)
            except LockHeld:
                raise self._reject_concurrent() from None
            self._swap(servable)
            return ActivationOutcome(previous, comparison)

    async def open_version(self, version: str) -> Servable:
        """Load and compare a version that answers next to the serving one; errors as of `activate`."""
        if self.is_loading:
            raise ActivationInProgress
        async with self._load_lock:
            stored = await asyncio.to_thread(find_version, self._repository, version)
            servable, _ = await self._prepare(stored, self._limits, is_resident=True)
            return servable

    async def poll(self) -> None:
        """Reconcile if the pointer file has been replaced since the last poll.

        A target version that was rejected is tried again after a pause, because the cause may have passed.
        """
        self._drop_queries()
        async with self._poll_lock:  # a concurrent poll waits for the reconciliation that this one starts
            stamp = await asyncio.to_thread(self._repository.read_pointer_stamp)
            if stamp != self._reconciled_stamp:
                self._retry_s = self._min_retry_s
            elif self._retry_at is None or time.monotonic() < self._retry_at:
                return
            self._reconciled_stamp, self._retry_at = stamp, None
            if await self.get_target_version() != self.servable.version:
                await self._reconcile()

    def run(self) -> AbstractAsyncContextManager[None]:
        """Poll every `POLL_INTERVAL_S` until the block ends."""
        return run_periodically(self.poll, every_s=POLL_INTERVAL_S, name="target version poll", starts_immediately=True)

    async def _reconcile(self) -> None:
        """Load the target version and swap it in; a version that is missing or rejected is logged and counted."""
        if self.is_loading:  # a load that was given up still runs
            self._schedule_retry()
            return
        async with self._load_lock:
            # Read again under the lock, the stamp first: the target may have changed, and a rejected target must not
            # be retried.
            self._reconciled_stamp = await asyncio.to_thread(self._repository.read_pointer_stamp)
            target = await self.get_target_version()
            if target == self.servable.version:
                return
            stored = await asyncio.to_thread(self._repository.find, target)
            if stored is None:
                log.error("target version %s not found; still serving %s", target, self.servable.version)
                MODEL_RELOADS.labels("rejected").inc()
                self._schedule_retry()
                return
            try:
                # The process that activated the version has compared it; one that fails is rejected in any case.
                limits = None if self._limits is None else replace(self._limits, is_strict=False)
                servable, _ = await self._prepare(stored, limits)
            except ArtifactRejected:  # already logged and counted
                self._schedule_retry()
                return
            self._swap(servable)

    def _schedule_retry(self) -> None:
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)

    async def get_target_version(self) -> str:
        """Return the version that this process is to serve, which may be another one than it does."""
        return await asyncio.to_thread(self._repository.get_target_version) or self.servable.version

    async def _prepare(
        self, stored: StoredVersion, limits: Limits | None, *, is_resident: bool = False
    ) -> tuple[Servable, Comparison | None]:
        """Return the version, loaded and compared unless it is in memory; ArtifactRejected if it must not serve."""
        for servable in (self.servable, self._previous, *self._engine.residents.values()):
            if servable is not None and servable.version == stored.version:
                return servable, None
        if self._previous is not None and not has_room(stored.disk_bytes):
            self._previous = None
        if is_resident and not has_room(stored.disk_bytes):
            raise ArtifactRejected(f"version {stored.version} needs more memory than is free; end the experiment")
        try:
            servable, comparison = await self._load_in_time(stored.folder, limits)
            if servable.version != stored.version:
                raise ArtifactRejected(f"{stored.folder} was replaced by version {servable.version} during the load")
        except Exception as error:
            MODEL_RELOADS.labels("rejected").inc()
            log.error("version %s rejected; still serving %s: %s", stored.version, self.servable.version, error)
            if isinstance(error, ArtifactRejected):
                raise
            raise ArtifactRejected(f"{stored.folder} cannot be loaded: {error!r}") from error
        return servable, comparison

    async def _load_in_time(self, folder: Path, limits: Limits | None) -> Loaded:
        self._drop_queries()
        queries = self._engine.recent_queries.list_queries()
        load = self._last_load = asyncio.ensure_future(
            asyncio.to_thread(self._load_and_compare, folder, limits, queries)
        )
        await asyncio.wait([load], timeout=self._timeout_s)
        if load.done():
            self._last_load = None
            return load.result()
        load.add_done_callback(_ignore_result)
        raise ArtifactRejected(
            f"{folder} was not loaded within {self._timeout_s:g} s (NEXTUP_ACTIVATION_TIMEOUT_S); check the disk"
        )

    def _load_and_compare(self, folder: Path, limits: Limits | None, queries: list[Query]) -> Loaded:
        """Runs in a thread."""
        candidate = self._load(folder)
        if limits is None:
            return candidate, None
        comparison = compare_versions(self.servable, candidate, queries)
        publish_comparison(candidate.version, comparison)
        check_comparison(candidate.version, comparison, limits)
        return candidate, comparison

    def _drop_queries(self) -> None:
        """Drop the sample of queries if a user was erased since, and those that are too old in any case."""
        queries = self._engine.recent_queries
        stamp = 0 if self._data_dir is None else read_erasure_stamp(self._data_dir)
        if stamp != self._erasure_stamp:
            self._erasure_stamp = stamp
            queries.clear()
        queries.drop_expired()

    def _swap(self, servable: Servable) -> None:
        previous = self.servable
        if servable is previous:
            return
        log.warning("serving version %s; the previous version was %s", servable.version, previous.version)
        self._engine.swap(servable)
        self._previous = previous if self._keeps_previous and can_be_kept(previous) else None
        MODEL_RELOADS.labels("ok").inc()

    def _reject_concurrent(self) -> ActivationInProgress:
        MODEL_RELOADS.labels("busy").inc()
        return ActivationInProgress()


def _ignore_result(load: asyncio.Future[Loaded]) -> None:
    """Take the error of a load that was given up, which asyncio would log otherwise."""
    if not load.cancelled():
        load.exception()
