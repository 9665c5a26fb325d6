"""Engine with the model in this process: a bounded queue, batches through the model, answers back to their callers.

Batches that take long run in a dedicated thread, so that the event loop stays free.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from app.batching.batcher import Batcher
from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.servable import Servable
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

INLINE_S = 0.02
"""Batches predicted to be shorter run in the event loop: a handover between two threads that contend for the GIL costs
more than the wait (ADR-0012)."""


class InferenceEngine:
    """Serves one version, `servable`, until `swap` replaces it; `close` drains the queue."""

    def __init__(self, servable: Servable, *, max_batch: int, queue_limit: int, tracing: Tracing | None = None) -> None:
        self.servable = servable
        self.unavailable_reason: str | None = None
        self._tracing = tracing
        self._swap_callbacks: list[Callable[[], None]] = []
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

    def swap(self, servable: Servable) -> None:
        """Serve another version from the next batch on; a running batch and the queue are not disturbed.

        Must be called in the event loop, where every reader of `servable` is.
        """
        self.servable = servable
        self._publish_gauges()
        for callback in self._swap_callbacks:
            callback()

    def on_swap(self, callback: Callable[[], None]) -> None:
        """Register a callback that runs in the same step of the event loop as a swap."""
        self._swap_callbacks.append(callback)

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        return await self._batcher.submit(query, deadline)

    def update_gauges(self) -> None:
        QUEUE_DEPTH.set(self.queue_depth)
        for kind, size in self.servable.read_device_memory().items():
            DEVICE_MEMORY.labels(self.servable.device, kind).set(size)

    async def close(self, timeout_s: float) -> None:
        await self._batcher.close(timeout_s)
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
        """Cost of a query: the positions that the encoder reads."""
        return min(len(query.history), self.servable.max_len) if isinstance(query, Query) else 0

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
        if self._batcher.predict_run_s(queries) < INLINE_S:
            return self.servable.run_batch(queries)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.servable.run_batch, queries)
