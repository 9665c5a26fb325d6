"""The way from a query to its answer: into a bounded queue, with a batch through the model, back to its caller.

Batches that take long run in a thread of their own, so that the event loop stays free. It knows no Redis and no HTTP.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

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
"""Batches that will be shorter run in the event loop: two threads that share one interpreter lock cost each other more
than the wait (DECISIONS.md, decision 6)."""


class InferenceEngine:
    """The engine with the model in this process.

    Serves one version, `servable`, until `swap` gives it another. `close` finishes what is queued.
    """

    def __init__(self, servable: Servable, *, max_batch: int, queue_limit: int, tracing: Tracing | None = None) -> None:
        self.servable = servable
        self._tracing = tracing
        self.unavailable_reason: str | None = None
        self._changed: list[Callable[[], None]] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._batcher = Batcher[Query | SimilarQuery, TopItems](
            self._run,
            max_batch=max_batch,
            queue_limit=queue_limit,
            name="model",
            observer=BatchMetrics(),
            cost_of=self._positions,
        )
        self._tell()

    def swap(self, servable: Servable) -> None:
        """From the next batch on. A batch that runs ends on the version that it began with, and the queue stays.

        To be called in the event loop, as every reader of `servable` is there.
        """
        self.servable = servable
        self._tell()
        for tell in self._changed:
            tell()

    def on_swap(self, tell: Callable[[], None]) -> None:
        """Called in the same step of the event loop as the change."""
        self._changed.append(tell)

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        return await self._batcher.submit(query, deadline)

    def find_popular_items(self, query: Query) -> TopItems:
        return self.servable.find_popular_items(query)

    def update_gauges(self) -> None:
        QUEUE_DEPTH.set(self._batcher.depth)
        for kind, size in self.servable.artifact.predictor.read_device_memory().items():
            DEVICE_MEMORY.labels(self.servable.artifact.predictor.device, kind).set(size)

    def _positions(self, query: Query | SimilarQuery) -> float:
        """What makes a query dear: the positions that the encoder reads."""
        longest = self.servable.artifact.predictor.max_len
        return min(len(query.history), longest) if isinstance(query, Query) else 0

    def _tell(self) -> None:
        artifact = self.servable.artifact
        set_serving_model(artifact.version, artifact.preset, artifact.predictor.device, artifact.predictor.dtype)
        for part, size in self.servable.bytes_by_part().items():
            MODEL_BYTES.labels(part).set(size)
        MODEL_UNCOMPRESSED.set(artifact.uncompressed_bytes)
        INDEX_RECALL.set(artifact.predictor.recall)

    async def close(self, timeout_s: float) -> None:
        await self._batcher.close(timeout_s)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, queries: list[Query | SimilarQuery]) -> Sequence[TopItems | Exception]:
        if self._tracing is None:
            return await self._answers(queries)
        began_ns, version = time.time_ns(), self.servable.version
        try:
            return await self._answers(queries)
        finally:
            self._tracing.record_batch(began_ns, version, [query.trace for query in queries])

    async def _answers(self, queries: list[Query | SimilarQuery]) -> Sequence[TopItems | Exception]:
        if self._batcher.predict_run_s(queries) < INLINE_S:
            return self.servable.run_batch(queries)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.servable.run_batch, queries)
