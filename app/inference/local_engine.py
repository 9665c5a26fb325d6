"""Engine with the model in this process: a bounded queue, batches through the model, answers back to their callers.

Batches that take long run in a dedicated thread, so that the event loop stays free.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager, suppress

import numpy as np

from app.batching.batcher import Batcher
from app.errors import DeadlineExceeded, ModelUnavailable, ServiceError
from app.inference.isolated_batches import BatchResults
from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.recent_queries import RecentQueries
from app.inference.routed_batches import RoutedBatches
from app.inference.rules import ItemRules
from app.inference.servable import Servable
from app.runtime.periodic import run_periodically
from app.telemetry.metrics import (
    DEVICE_MEMORY,
    INDEX_RECALL,
    MODEL_BYTES,
    MODEL_UNCOMPRESSED,
    QUEUE_DEPTH,
    BatchMetrics,
    set_serving_model,
)
from app.telemetry.request_context import Tracing
from models.removal import MAX_REMOVALS

INLINE_S = 0.02
"""Batches predicted to be shorter run in the event loop: a handover between two threads that contend for the GIL costs
more than the wait (ADR-0012)."""
STALL_FALLBACK_S = 2.0
"""A batch that runs longer counts as a hanging model: queries fail immediately, so that popular items are served."""
PROBE_INTERVAL_S = 2.0
"""An idle model is probed this often, so that a hang is noticed without traffic."""
PROBE_DEADLINE_S = 1.0
STALLED_CLOSE_S = 0.1
"""How long a drain waits for a hanging model."""

INLINE_KEYS = 20_000
"""Most items in the filters of a batch that runs in the event loop: looking them up takes some 4 ms."""


class InferenceEngine:
    """Serves one version, `servable`, until `swap` replaces it; `close` drains the queue."""

    def __init__(
        self,
        servable: Servable,
        *,
        max_batch: int,
        queue_limit: int,
        tracing: Tracing | None = None,
        num_recent_queries: int = 0,
    ) -> None:
        """`num_recent_queries` is the size of the sample with which new versions are compared."""
        self.servable = servable
        self.residents: Mapping[str, Servable] = {}
        """Versions that answer the queries which name them."""
        self.resident_problems: Mapping[str, str] = {}
        """Why versions that an experiment asks for are not in `residents`."""
        self.on_answer: Callable[[Query, TopItems], None] | None = None
        """Called with each answer to a Query."""
        self.recent_queries = RecentQueries(num_recent_queries)
        self._routed = RoutedBatches()
        self._tracing = tracing
        self._filter_lock = asyncio.Lock()
        self._swap_callbacks: list[Callable[[], None]] = []
        self._resident_callbacks: list[Callable[[], None]] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._batcher = Batcher[Query | SimilarQuery, TopItems](
            self._run,
            max_batch=max_batch,
            queue_limit=queue_limit,
            name="model",
            observer=BatchMetrics(),
            cost_of=self._count_positions,
        )
        self._publish_gauges()

    @property
    def queue_depth(self) -> int:
        """Number of queries that wait for their batch to start."""
        return self._batcher.depth

    @property
    def running_batches(self) -> int:
        return self._batcher.running_batches

    @property
    def stalled_s(self) -> float:
        """Seconds since the running batch began; 0 while none runs. Any thread may read it."""
        started_at = self._batcher.running_since
        return 0.0 if started_at is None else time.monotonic() - started_at

    @property
    def unavailable_reason(self) -> str | None:
        """Why the model cannot answer; None while it finishes its batches."""
        seconds = self.stalled_s
        return f"the model has not finished a batch for {seconds:.0f} s" if seconds > STALL_FALLBACK_S else None

    def probe_periodically(self) -> AbstractAsyncContextManager[None]:
        """Send a query through the queue and the model whenever they have been idle, until the block ends."""
        return run_periodically(self._probe, every_s=PROBE_INTERVAL_S, name="model probe")

    async def _probe(self) -> None:
        if not self._batcher.is_idle or time.monotonic() - self._batcher.finished_at < PROBE_INTERVAL_S:
            return
        query = Query(history=np.array(self.servable.catalogue.keys.keys[:1]), k=1)
        with suppress(ServiceError):  # a hang shows in `stalled_s`
            deadline = asyncio.get_running_loop().time() + PROBE_DEADLINE_S
            await self._batcher.submit(query, deadline, is_probe=True)

    def swap(self, servable: Servable) -> None:
        """Serve another version from the next batch on; a running batch and the queue are not disturbed.

        Must be called in the event loop, where every reader of `servable` is.
        """
        self.servable = servable
        self._publish_gauges()
        for callback in self._swap_callbacks:
            callback()

    def set_residents(self, residents: Mapping[str, Servable], problems: Mapping[str, str]) -> None:
        """Let other versions answer the queries which name them, from the next batch on, as `swap` does."""
        self.residents, self.resident_problems = residents, problems
        for callback in self._resident_callbacks:
            callback()

    def on_residents(self, callback: Callable[[], None]) -> None:
        """Register a callback that runs in the same step of the event loop as a change of `residents`."""
        self._resident_callbacks.append(callback)

    def on_swap(self, callback: Callable[[], None]) -> None:
        """Register a callback that runs in the same step of the event loop as a swap."""
        self._swap_callbacks.append(callback)

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        if (reason := self.unavailable_reason) is not None:
            raise ModelUnavailable(reason)
        rules = None
        if isinstance(query, Query):
            self.recent_queries.record(query)
            rules = query.rules
        if query.item_filter is not None or rules is not None:
            await self._prepare_masks(query, rules, deadline)
        top = await self._batcher.submit(query, deadline)
        if self.on_answer is not None and isinstance(query, Query):
            self.on_answer(query, top)
        return top

    async def _prepare_masks(self, query: Query | SimilarQuery, rules: ItemRules | None, deadline: float) -> None:
        """Compute the masks of a query in another thread if that takes long, so that its batch finds them.

        One query at a time; DeadlineExceeded if that takes too long.
        """
        item_filter = query.item_filter
        if not self._find_version(query).search_filters.is_long(item_filter, rules):
            return
        try:
            async with asyncio.timeout_at(deadline), self._filter_lock:
                filters = self._find_version(query).search_filters
                if filters.is_long(item_filter, rules):
                    await asyncio.to_thread(filters.prepare, item_filter, rules)
        except TimeoutError:
            raise DeadlineExceeded("filter: the deadline passed while it was evaluated") from None

    def update_gauges(self) -> None:
        QUEUE_DEPTH.set(self.queue_depth)
        for kind, size in self.servable.read_device_memory().items():
            DEVICE_MEMORY.labels(self.servable.device, kind).set(size)

    async def close(self, timeout_s: float) -> None:
        await self._batcher.close(timeout_s if self.unavailable_reason is None else STALLED_CLOSE_S)
        self._thread.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def block_thread(self, timeout_s: float = 20.0) -> Iterator[None]:
        """Keep the model's thread busy until the block ends, so that tests can fill the queue.

        Batches that are short enough for the event loop are not held up.
        """
        is_released = threading.Event()
        self._thread.submit(is_released.wait, timeout_s)
        try:
            yield
        finally:
            is_released.set()

    def _count_positions(self, query: Query | SimilarQuery) -> float:
        """Cost of a query: the positions that the encoder reads, again for each removal of an explanation."""
        if not isinstance(query, Query):
            return 0
        positions = min(len(query.history), self.servable.max_len)
        return positions * (1 + min(positions, MAX_REMOVALS)) if query.explain else positions

    def _find_version(self, query: Query | SimilarQuery) -> Servable:
        version = query.version if isinstance(query, Query) else None
        return self.servable if version is None else self.residents.get(version, self.servable)

    def _run_in_place(self, queries: list[Query | SimilarQuery]) -> BatchResults:
        """Run a batch on the versions that its queries name."""
        if not self.residents:
            return self.servable.run_batch(queries)
        return self._routed.run(self.servable, self.residents, queries)

    def _publish_gauges(self) -> None:
        info = self.servable.model_info
        set_serving_model(info.version, info.preset, info.device, info.dtype)
        for part, size in info.bytes_by_part.items():
            MODEL_BYTES.labels(part).set(size)
        MODEL_UNCOMPRESSED.set(self.servable.uncompressed_bytes)
        INDEX_RECALL.set(info.index_recall)

    async def _run(self, queries: list[Query | SimilarQuery]) -> Sequence[TopItems | Exception]:
        if self._tracing is None:
            return await self._run_on_model(queries)
        start_ns, version = time.time_ns(), self.servable.version
        try:
            return await self._run_on_model(queries)
        finally:
            self._tracing.record_batch(start_ns, version, [query.trace for query in queries])

    async def _run_on_model(self, queries: list[Query | SimilarQuery]) -> Sequence[TopItems | Exception]:
        is_short = self._batcher.predict_run_s(queries) < INLINE_S and _count_filter_keys(queries) <= INLINE_KEYS
        if is_short and not (self.servable.filters.is_large and _has_rules(queries)):  # rules need masks as they search
            return self._run_in_place(queries)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._run_in_place, queries)


def _has_rules(queries: list[Query | SimilarQuery]) -> bool:
    return any(isinstance(query, Query) and query.rules is not None for query in queries)


def _count_filter_keys(queries: list[Query | SimilarQuery]) -> int:
    count = 0
    for query in queries:
        count += len(query.exclude)
        if isinstance(query, Query) and query.candidates is not None:
            count += len(query.candidates)
    return count
