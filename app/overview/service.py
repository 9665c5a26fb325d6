"""Puts the overview together from what processes record, and from what this one knows about model and Redis."""

import asyncio
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from app.inference import Engine, ModelInfo
from app.overview.schemas import (
    ActivitySeries,
    LatencyQuantiles,
    MemoryPart,
    OfflineFigures,
    Overview,
    RedisUsage,
)
from app.stores.results import StoreUsage
from app.telemetry.activity import INTERVAL_S, SOURCES, Activity, ActivityRecorder, Counts
from app.telemetry.deferred_metrics import flush
from app.telemetry.metrics import LATENCY_BUCKETS

MIN_AGE_S = 0.2
"""Callers within this time get the same overview, so that many watchers cost no more than a few."""
VECTOR_PARTS = ("embedding", "head")


class OverviewService:
    """Belongs to the event loop."""

    def __init__(self, engine: Engine, recorder: ActivityRecorder, get_usage: Callable[[], StoreUsage | None]) -> None:
        """`get_usage` returns the usage of Redis, None while it is not known."""
        self._engine = engine
        self._get_usage = get_usage
        self._recorder = recorder
        self._lock = asyncio.Lock()
        self._overview: Overview | None = None
        self._built_at = float("-inf")

    async def read(self) -> Overview:
        async with self._lock:
            loop = asyncio.get_running_loop()
            if self._overview is None or loop.time() - self._built_at >= MIN_AGE_S:
                flush()
                self._recorder.record()
                activity = await asyncio.to_thread(self._recorder.read)
                self._overview = build_overview(self._engine, self._get_usage(), activity)
                self._built_at = loop.time()
            return self._overview


def build_overview(engine: Engine, usage: StoreUsage | None, activity: Activity) -> Overview:
    serving = engine.servable
    info = serving.model_info
    total = Counts.from_rows(activity.rows.sum(axis=0))
    seconds = float(np.count_nonzero(activity.is_covered)) * INTERVAL_S
    return Overview(
        version=serving.version,
        preset=None if info is None else info.preset,
        loaded_at=None if info is None else info.loaded_at,
        figures=OfflineFigures(
            model={} if info is None else info.figures, baselines={} if info is None else info.baselines
        ),
        requests_per_second=float(total.requests) / seconds if seconds else None,
        latency_seconds=LatencyQuantiles(
            p50=compute_quantile(total.latencies, 0.5), p99=compute_quantile(total.latencies, 0.99)
        ),
        served_by={source: int(count) for source, count in zip(SOURCES, total.answers, strict=True)},
        batch_size=float(total.batched_queries / total.batches) if total.batches else None,
        memory=_list_memory(info),
        redis=_describe_usage(usage),
        series=_build_series(activity),
    )


def compute_quantile(counts: NDArray[np.float64], fraction: float) -> float | None:
    """Estimate a quantile from bucket counts as Prometheus does: linear within a bucket; None without counts.

    `counts` (buckets + 1,) ends with the bucket without a bound, of which the largest bound is returned.
    """
    cumulative = np.cumsum(counts)
    if not cumulative[-1]:
        return None
    rank = fraction * cumulative[-1]
    bucket = int(np.searchsorted(cumulative, rank))
    if bucket >= len(LATENCY_BUCKETS):
        return LATENCY_BUCKETS[-1]
    low = LATENCY_BUCKETS[bucket - 1] if bucket else 0.0
    before = cumulative[bucket - 1] if bucket else 0.0
    return float(low + (LATENCY_BUCKETS[bucket] - low) * (rank - before) / counts[bucket])


def _build_series(activity: Activity) -> ActivitySeries:
    """Build the series of the intervals that have ended."""
    counts = Counts.from_rows(activity.rows)
    intervals = range(len(activity.ends) - 1)
    return ActivitySeries(
        seconds=activity.ends[:-1].tolist(),
        requests_per_second=[
            float(counts.requests[row]) / INTERVAL_S if activity.is_covered[row] else None for row in intervals
        ],
        p50=[compute_quantile(counts.latencies[row], 0.5) for row in intervals],
        p99=[compute_quantile(counts.latencies[row], 0.99) for row in intervals],
    )


def _list_memory(info: ModelInfo | None) -> list[MemoryPart]:
    if info is None:
        return []
    return [
        MemoryPart(part=part, bytes=size, uncompressed_bytes=info.vector_bytes if part in VECTOR_PARTS else None)
        for part, size in info.bytes_by_part.items()
    ]


def _describe_usage(usage: StoreUsage | None) -> RedisUsage:
    if usage is None:
        return RedisUsage(bytes_per_user=None, users=None)
    histories = max(0, usage.memory_bytes - usage.startup_bytes)
    return RedisUsage(bytes_per_user=histories / usage.users if usage.users else None, users=usage.users)
