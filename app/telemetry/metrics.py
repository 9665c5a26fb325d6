"""All metrics of the service; the code that measures calls these objects.

With `nextup serve --workers N` the processes share their values through files (PROMETHEUS_MULTIPROC_DIR, set before
this module is imported): counters and histograms are summed, and each gauge names its aggregation.
"""

import os
import time
from collections.abc import Sequence
from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

from app.runtime.machine import read_memory_limit, read_resident_memory
from app.telemetry.deferred_metrics import DeferredCounter, DeferredHistogram
from app.telemetry.restarts import PROCESSES, REASONS, RESTARTS

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR" in os.environ
LATENCY_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

HTTP_REQUESTS = Counter("nextup_http_requests", "HTTP requests that were answered.", ["route", "method", "code"])
HTTP_DURATION = Histogram(
    "nextup_http_request_duration_seconds",
    "Time from the request's headers to the last byte of the response.",
    ["route", "method", "code"],
    buckets=LATENCY_BUCKETS,
)
STAGE_DURATION = Histogram(
    "nextup_stage_duration_seconds",
    "Time that a recommendation spends in each stage.",
    ["stage"],
    buckets=LATENCY_BUCKETS,
)
QUEUE_DEPTH = Gauge("nextup_queue_depth", "Queries waiting for a model batch.", multiprocess_mode="livesum")
QUEUE_WAIT = DeferredHistogram(
    Histogram("nextup_queue_wait_seconds", "Time that a query waits for its batch to start.", buckets=LATENCY_BUCKETS)
)
BATCH_SIZE = DeferredHistogram(
    Histogram("nextup_batch_size", "Queries per model batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
)
BATCH_PADDING = DeferredHistogram(
    Histogram(
        "nextup_batch_padding_ratio",
        "Share of a batch's positions that are padding.",
        buckets=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    )
)
LAST_BATCH = Gauge(
    "nextup_last_batch_timestamp_seconds", "Time at which the model last finished a batch.", multiprocess_mode="livemax"
)
CONNECTIONS = Gauge("nextup_connections", "Open connections of clients.", multiprocess_mode="livesum")
CONNECTION_LIMIT = Gauge(
    "nextup_connection_limit",
    "Connections that all workers together keep open, without the reserve for health checks.",
    multiprocess_mode="livesum",
)
REJECTED = Counter("nextup_rejected", "Queries and requests rejected, by reason.", ["reason"])
CANCELLED = Counter("nextup_cancelled", "Queries whose client disconnected before the answer.")
RECOMMENDATIONS = Counter("nextup_recommendations", "Recommendations by source and reason.", ["served_by", "reason"])
EVENTS = Counter("nextup_events", "Events by outcome.", ["result"])
EVENT_VISIBLE = Histogram(
    "nextup_event_visible_seconds",
    "Time from receiving events until the next read returns them.",
    buckets=LATENCY_BUCKETS,
)
HISTORY_LENGTH = DeferredHistogram(
    Histogram(
        "nextup_history_length",
        "Items in the history of a recommendation.",
        buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    )
)
MODEL_INFO = Gauge(
    "nextup_model_info",
    "1 for the version that is serving.",
    ["version", "preset", "device", "dtype"],
    multiprocess_mode="livemax",
)
MODEL_BYTES = Gauge(
    "nextup_model_bytes", "Memory of the model by part, per process.", ["part"], multiprocess_mode="livemax"
)
MODEL_UNCOMPRESSED = Gauge(
    "nextup_model_uncompressed_bytes", "Memory that uncompressed item vectors would take.", multiprocess_mode="livemax"
)
INDEX_RECALL = Gauge(
    "nextup_index_recall",
    "Recall@10 of the ANN index, measured when it was built; 1 without an index.",
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
    "Trace spans: exported, dropped (queue full or service stopped), or failed at the collector.",
    ["result"],
)
STORE_UP = Gauge("nextup_store_up", "1 if Redis answered the last health check.", multiprocess_mode="livemin")
STORE_MEMORY = Gauge("nextup_store_memory_bytes", "Memory that Redis uses.", multiprocess_mode="livemax")
STORE_STARTUP_MEMORY = Gauge(
    "nextup_store_startup_memory_bytes", "Memory that Redis used when it was empty.", multiprocess_mode="livemax"
)
STORE_MEMORY_LIMIT = Gauge(
    "nextup_store_memory_limit_bytes", "maxmemory of Redis; 0 = unlimited.", multiprocess_mode="livemax"
)
STORE_KEYS = Gauge(
    "nextup_store_keys", "Keys in Redis: one per user, two if events have ids.", multiprocess_mode="livemax"
)
STORE_USERS = Gauge(
    "nextup_store_users", "Users with a history, estimated from 200 random keys.", multiprocess_mode="livemax"
)
STORE_ERRORS = Counter("nextup_store_errors", "Store operations that failed.", ["operation"])
STORE_DURATION = Histogram(
    "nextup_store_duration_seconds", "Duration of store operations.", ["operation"], buckets=LATENCY_BUCKETS
)
EVENT_LOG_ENTRIES = Gauge(
    "nextup_event_log_entries",
    "Entries of the event log in Redis that are not archived yet.",
    multiprocess_mode="livemostrecent",
)
EVENT_LOG_LONGEST = Gauge(
    "nextup_event_log_longest_stream_entries",
    "Entries of the longest stream of the event log, to which NEXTUP_EVENT_LOG_MAX_ENTRIES applies.",
    multiprocess_mode="livemostrecent",
)
EVENT_LOG_LIMIT = Gauge(
    "nextup_event_log_limit_entries",
    "NEXTUP_EVENT_LOG_MAX_ENTRIES: entries that one stream of the event log may have.",
    multiprocess_mode="livemax",
)
EVENT_LOG_OLDEST = Gauge(
    "nextup_event_log_oldest_timestamp_seconds",
    "Time of the oldest entry that is not archived yet; 0 without entries.",
    multiprocess_mode="livemostrecent",
)
EVENT_LOG_DROPPED = Counter(
    "nextup_event_log_dropped_entries",
    "Entries of a full event log that were dropped before they were archived (NEXTUP_EVENT_LOG_FULL).",
)
ARCHIVED_EVENTS = Counter("nextup_archived_events", "Events that the archiver wrote to files.")
ARCHIVE_ROUNDS = Counter("nextup_archive_rounds", "Rounds of the archiver, by outcome.", ["result"])
MEMORY_LIMIT = Gauge(
    "nextup_memory_limit_bytes",
    "Memory limit of all workers together: that of the control group, or the machine's memory.",
    multiprocess_mode="livemax",
)
# The library's own process metrics cover one process; with several, this gauge replaces them in /metrics.
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
EDGE_REASONS = (
    *("malformed", "pipeline", "head_size", "head_time", "body_size", "body_time", "slow_reader", "connections"),
)
"""Reasons of the HTTP edge, in the order in which a request meets its bounds."""
for _reason in ("overloaded", "deadline_unmeetable", "deadline", "draining", "rate", *EDGE_REASONS):
    REJECTED.labels(_reason)
for _result in ("stored", "duplicate", "late", "invalid", "ignored", "failed"):
    EVENTS.labels(_result)
for _result in ("archived", "failed"):
    ARCHIVE_ROUNDS.labels(_result)
for _result in ("exported", "dropped", "failed"):
    SPANS.labels(_result)
for _process in PROCESSES:
    for _reason in REASONS:
        RESTARTS.labels(_process, _reason)


# Finding the child of a labelled metric costs more than updating it, so children of the request path are cached. The
# caches do not extend their lifetime: the library keeps every child anyway.
@lru_cache(maxsize=1024)
def get_request_histogram(route: str, method: str, code: str) -> DeferredHistogram:
    """Return the duration histogram of a route; each observation also counts the request."""
    labels = (route, method, code)
    return DeferredHistogram(HTTP_DURATION.labels(*labels), HTTP_REQUESTS.labels(*labels), family="http", labels=labels)


@lru_cache(maxsize=64)
def get_recommendation_counter(served_by: str, reason: str) -> DeferredCounter:
    labels = (served_by, reason)
    return DeferredCounter(RECOMMENDATIONS.labels(*labels), family="recommendations", labels=labels)


@lru_cache(maxsize=64)
def get_store_histogram(operation: str) -> DeferredHistogram:
    return DeferredHistogram(STORE_DURATION.labels(operation))


_serving: list[tuple[str, str, str, str]] = []


def set_serving_model(version: str, preset: str, device: str, dtype: str) -> None:
    """Set the series of the serving version to 1 and remove that of the previous version."""
    labels = (version, preset, device, dtype)
    for previous in _serving:
        if previous == labels:
            continue
        if MULTIPROCESS:  # the library cannot remove a series from a file; `render_metrics` omits those that are 0
            MODEL_INFO.labels(*previous).set(0)
        else:
            MODEL_INFO.remove(*previous)
    _serving[:] = [labels]
    MODEL_INFO.labels(*labels).set(1)


class StoreMetrics:
    """Metrics of store operations; implements the `StoreObserver` of app.stores."""

    def observe(self, operation: str, seconds: float, error: bool) -> None:
        get_store_histogram(operation).observe(seconds)
        if error:
            STORE_ERRORS.labels(operation).inc()


class BatchMetrics:
    """Metrics of the model's batcher; implements the `BatchObserver` of app.batching."""

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
    """Update the memory gauges."""
    MEMORY_LIMIT.set(read_memory_limit())
    if RESIDENT_MEMORY is not None:
        RESIDENT_MEMORY.set(read_resident_memory())
