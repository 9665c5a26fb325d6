"""Every metric of the service, by name, in one place. It knows no use case; who measures calls these objects.

With `nextup serve --workers N` the processes share their values through files (PROMETHEUS_MULTIPROC_DIR, set before
this is imported): counters and histograms are summed, and each gauge says how it is put together.
"""

import os
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from app.runtime.machine import read_memory_limit
from app.telemetry.deferred_metrics import DeferredCounter, DeferredHistogram

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR" in os.environ
LATENCY_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

HTTP_REQUESTS = Counter("nextup_http_requests", "Answered requests.", ["route", "method", "code"])
HTTP_DURATION = Histogram(
    "nextup_http_request_duration_seconds",
    "From the first byte of the request's head to the last of the answer.",
    ["route", "method", "code"],
    buckets=LATENCY_BUCKETS,
)
STAGE_DURATION = Histogram(
    "nextup_stage_duration_seconds",
    "Parts of a recommendation: where its time went.",
    ["stage"],
    buckets=LATENCY_BUCKETS,
)
QUEUE_DEPTH = Gauge("nextup_queue_depth", "Queries that wait for the model.", multiprocess_mode="livesum")
QUEUE_WAIT = DeferredHistogram(
    Histogram("nextup_queue_wait_seconds", "How long a query waited for its batch.", buckets=LATENCY_BUCKETS)
)
BATCH_SIZE = DeferredHistogram(
    Histogram("nextup_batch_size", "Queries in a model batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
)
BATCH_PADDING = DeferredHistogram(
    Histogram(
        "nextup_batch_padding_ratio",
        "Share of a batch's cells that hold no item.",
        buckets=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    )
)
LAST_BATCH = Gauge(
    "nextup_last_batch_timestamp_seconds", "When the model last finished a batch.", multiprocess_mode="livemax"
)
REJECTED = Counter("nextup_rejected", "Queries that were not run.", ["reason"])
CANCELLED = Counter("nextup_cancelled", "Queries whose caller left before the answer.")
RECOMMENDATIONS = Counter("nextup_recommendations", "Answers by who gave them and why.", ["served_by", "reason"])
EVENTS = Counter("nextup_events", "Events by what became of them.", ["result"])
EVENT_VISIBLE = Histogram(
    "nextup_event_visible_seconds", "From receiving events until the next read sees them.", buckets=LATENCY_BUCKETS
)
HISTORY_LENGTH = DeferredHistogram(
    Histogram(
        "nextup_history_length",
        "Items in the history that was asked about.",
        buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    )
)
MODEL_INFO = Gauge(
    "nextup_model_info",
    "1 for the version that serves.",
    ["version", "preset", "device", "dtype"],
    multiprocess_mode="livemax",
)
MODEL_BYTES = Gauge(
    "nextup_model_bytes", "Memory of the model by part, per process.", ["part"], multiprocess_mode="livemax"
)
MODEL_UNCOMPRESSED = Gauge(
    "nextup_model_uncompressed_bytes", "What full item vectors in and out would take.", multiprocess_mode="livemax"
)
MODEL_RELOADS = Counter(
    "nextup_model_reload", "Versions that were loaded beside the serving one, by what became of them.", ["result"]
)
INDEX_RECALL = Gauge(
    "nextup_index_recall",
    "Share of the exact 10 best that approximate answers have, measured when the index was built; 1 without an index.",
    multiprocess_mode="livemin",
)
DEVICE_MEMORY = Gauge(
    "nextup_device_memory_bytes",
    "Accelerator memory of all processes.",
    ["device", "kind"],
    multiprocess_mode="livesum",
)
SPANS = Counter(
    "nextup_spans",
    "Spans of traces: exported, dropped because the queue was full or the service ended, failed at the collector.",
    ["result"],
)
STORE_UP = Gauge("nextup_store_up", "1 if Redis answered when last asked.", multiprocess_mode="livemin")
STORE_MEMORY = Gauge("nextup_store_memory_bytes", "Memory that Redis uses.", multiprocess_mode="livemax")
STORE_STARTUP_MEMORY = Gauge(
    "nextup_store_startup_memory_bytes", "What Redis took of it before it held anything.", multiprocess_mode="livemax"
)
STORE_MEMORY_LIMIT = Gauge(
    "nextup_store_memory_limit_bytes", "maxmemory of Redis; 0 = none.", multiprocess_mode="livemax"
)
STORE_KEYS = Gauge("nextup_store_keys", "Keys in Redis: two per user, and often a third.", multiprocess_mode="livemax")
STORE_ERRORS = Counter("nextup_store_errors", "Store operations that failed.", ["operation"])
STORE_DURATION = Histogram("nextup_store_duration_seconds", "Store operations.", ["operation"], buckets=LATENCY_BUCKETS)
MEMORY_LIMIT = Gauge(
    "nextup_memory_limit_bytes",
    "What all workers together may use: the limit of the control group, else the machine's memory.",
    multiprocess_mode="livemax",
)
# The library's own process metrics tell of one process: with several, this takes their place in what is exposed.
RESIDENT_MEMORY = (
    Gauge(
        "process_resident_memory_bytes",
        "Resident memory of all workers.",
        registry=None,
        multiprocess_mode="livesum",
    )
    if MULTIPROCESS
    else None
)

STAGE_SECONDS = {
    name: DeferredHistogram(STAGE_DURATION.labels(name)) for name in ("store", "queue", "encode", "score", "respond")
}
for _reason in ("overloaded", "deadline", "draining"):
    REJECTED.labels(_reason)
for _result in ("ok", "rejected", "busy"):
    MODEL_RELOADS.labels(_result)
for _result in ("stored", "duplicate", "late", "invalid"):
    EVENTS.labels(_result)
for _result in ("exported", "dropped", "failed"):
    SPANS.labels(_result)


# Finding the child of a labelled metric costs more than counting in it: those of every request are found once. As many
# as the metrics have children, which are the library's to keep.
@lru_cache(maxsize=1024)
def get_request_histogram(route: str, method: str, code: str) -> DeferredHistogram:
    """Counts the request too."""
    labels = (route, method, code)
    return DeferredHistogram(HTTP_DURATION.labels(*labels), HTTP_REQUESTS.labels(*labels))


@lru_cache(maxsize=64)
def get_recommendation_counter(served_by: str, reason: str) -> DeferredCounter:
    return DeferredCounter(RECOMMENDATIONS.labels(served_by, reason))


@lru_cache(maxsize=64)
def get_store_histogram(operation: str) -> DeferredHistogram:
    return DeferredHistogram(STORE_DURATION.labels(operation))


_shown: list[tuple[str, str, str, str]] = []


def set_serving_model(version: str, preset: str, device: str, dtype: str) -> None:
    """Put 1 at the version that serves, and take away the one before it."""
    labels = (version, preset, device, dtype)
    for before in _shown:
        if (
            before != labels and MULTIPROCESS
        ):  # the library cannot remove what lies in a file: `render_metrics` leaves it out
            MODEL_INFO.labels(*before).set(0)
        elif before != labels:
            MODEL_INFO.remove(*before)
    _shown[:] = [labels]
    MODEL_INFO.labels(*labels).set(1)


class StoreMetrics:
    """What the store tells (app.stores.redis.client.StoreObserver)."""

    def observe(self, operation: str, seconds: float, error: bool) -> None:
        get_store_histogram(operation).observe(seconds)
        if error:
            STORE_ERRORS.labels(operation).inc()


class BatchMetrics:
    """What the batcher of the model tells (app.batching.batcher.BatchObserver)."""

    def on_batch_started(self, waits_s: Sequence[float]) -> None:
        BATCH_SIZE.observe(len(waits_s))
        for wait in waits_s:
            QUEUE_WAIT.observe(wait)

    def on_batch_finished(self, size: int, seconds: float) -> None:  # noqa: ARG002
        LAST_BATCH.set(time.time())

    def on_rejected(self, reason: str) -> None:
        REJECTED.labels(reason).inc()

    def on_cancelled(self) -> None:
        CANCELLED.inc()


def sample_process_memory() -> None:
    """Refresh what nobody pushes; the resident size comes from Linux and is left alone elsewhere."""
    MEMORY_LIMIT.set(read_memory_limit())
    if RESIDENT_MEMORY is None:
        return
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        return
    RESIDENT_MEMORY.set(pages * os.sysconf("SC_PAGE_SIZE"))
