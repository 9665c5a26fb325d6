"""Export of spans: a bounded queue, batches over HTTP from a background thread, and a count of every lost span.

Queue, thread and protocol are OpenTelemetry's. Its queue does not count the spans that it drops, its shutdown may take
half a minute, and it logs every failure several times; admission, the shutdown timeout and the log lines are therefore
defined here.
"""

import asyncio
import logging
from collections.abc import Sequence
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from app.telemetry.metrics import SPANS

log = logging.getLogger("nextup")

MAX_QUEUED_SPANS = 4096
"""About 1.5 kB each."""
MAX_BATCH_SPANS = 256
EXPORT_INTERVAL_MS = 1000
EXPORT_TIMEOUT_S = 5.0
"""For one batch with its retries; spans that end meanwhile wait in the queue, as far as there is room."""
OTLP_LOG = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class _ExporterLogFilter(logging.Filter):
    """Suppresses the exporter's log lines, three per batch while it fails, and keeps the first message."""

    first = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.first = self.first or record.getMessage()[:300]
        return False


_log_filter = _ExporterLogFilter()


class BoundedSpanProcessor(SpanProcessor):
    """Queues ended spans from the event loop without ever waiting."""

    def __init__(self, endpoint: str) -> None:
        self._exporter = CountingExporter(endpoint)
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=MAX_QUEUED_SPANS,
            max_export_batch_size=MAX_BATCH_SPANS,
            schedule_delay_millis=EXPORT_INTERVAL_MS,
        )
        self._admitted = 0
        self._is_closed = False

    def on_end(self, span: ReadableSpan) -> None:
        # Two counters with one writer each need no lock: `_admitted` here, `exported` in the exporting thread.
        if self._is_closed or self._admitted - self._exporter.exported >= MAX_QUEUED_SPANS:
            SPANS.labels("dropped").inc()
            return
        self._admitted += 1
        self._batches.on_end(span)

    async def close(self, timeout_s: float) -> None:
        """Export queued spans; those whose export has not started after `timeout_s` are dropped."""
        self._is_closed = True
        thread = Thread(target=self._batches.shutdown, name="last-spans", daemon=True)
        thread.start()
        await asyncio.to_thread(thread.join, timeout_s)
        if thread.is_alive():
            self._exporter.shutdown()
        SPANS.labels("dropped").inc(self._admitted - self._exporter.exported)


class CountingExporter(SpanExporter):
    """Wraps the library's exporter: counts results and logs one line when failures start and one when they end."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        # Headers, certificates and compression come from the standard OTEL_EXPORTER_OTLP_* variables.
        self._otlp = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
        logging.getLogger(OTLP_LOG).addFilter(_log_filter)  # never removed: its thread may log after shutdown
        self._is_failing = False
        self._is_shut_down = False
        self.exported = 0
        """Spans passed to the collector, successfully or not."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.exported += len(spans)
        _log_filter.first = ""
        result = self._otlp.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        SPANS.labels("failed" if failed else "exported").inc(len(spans))
        if failed and not self._is_failing:
            log.warning("%s rejects spans; they are dropped until it recovers: %s", self._endpoint, _log_filter.first)
        elif self._is_failing and not failed:
            log.warning("%s accepts spans again", self._endpoint)
        self._is_failing = failed
        return result

    def shutdown(self) -> None:
        """Stop retrying; the library calls this as well and would log a warning for the second call."""
        if not self._is_shut_down:
            self._is_shut_down = True
            self._otlp.shutdown()  # type: ignore[no-untyped-call]
