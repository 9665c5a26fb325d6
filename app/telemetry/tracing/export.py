"""How spans leave: into a bounded queue, in batches over HTTP from a thread of their own, and every loss counted.

Queue, thread and protocol are OpenTelemetry's. Its queue forgets silently what does not fit, its end may take half a
minute, and it tells of every failure twice; so what is let in, how long the end may take and what is told stand here.
It knows not what a span is about.
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
"""Spans that wait; some 1.5 kB each."""
MAX_BATCH_SPANS = 256
EXPORT_INTERVAL_MS = 1000
EXPORT_TIMEOUT_S = 5.0
"""For one batch with its retries; spans that come meanwhile wait, as far as there is room."""
OTLP_LOG = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class _Told(logging.Filter):
    """Keeps the exporter's own lines, two for every batch while it fails, out of the log; notes the first of them."""

    first = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.first = self.first or record.getMessage()[:300]
        return False


_told = _Told()


class BoundedSpanProcessor(SpanProcessor):
    """Takes spans that have ended, in the event loop, and never waits."""

    def __init__(self, endpoint: str) -> None:
        self._collector = CountingExporter(endpoint)
        self._batches = BatchSpanProcessor(
            self._collector,
            max_queue_size=MAX_QUEUED_SPANS,
            max_export_batch_size=MAX_BATCH_SPANS,
            schedule_delay_millis=EXPORT_INTERVAL_MS,
        )
        self._let_in = 0
        self._closed = False

    def on_end(self, span: ReadableSpan) -> None:
        # Two counters with one writer each, and so no lock: this one here, `taken` in the thread that sends.
        if self._closed or self._let_in - self._collector.taken >= MAX_QUEUED_SPANS:
            SPANS.labels("dropped").inc()
            return
        self._let_in += 1
        self._batches.on_end(span)

    async def close(self, timeout_s: float) -> None:
        """Send what waits; what has not begun to leave by then is dropped."""
        self._closed = True
        last = Thread(target=self._batches.shutdown, name="last-spans", daemon=True)
        last.start()
        await asyncio.to_thread(last.join, timeout_s)
        if last.is_alive():
            self._collector.shutdown()
        SPANS.labels("dropped").inc(self._let_in - self._collector.taken)


class CountingExporter(SpanExporter):
    """The library's exporter: its successes and failures counted, one line when trouble begins and one when it ends."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        # Headers, certificates and compression come from the standard OTEL_EXPORTER_OTLP_* variables.
        self._otlp = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
        logging.getLogger(OTLP_LOG).addFilter(_told)  # for good: its thread may still speak after the end
        self._in_trouble = False
        self._ended = False
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        _told.first = ""
        result = self._otlp.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        SPANS.labels("failed" if failed else "exported").inc(len(spans))
        if failed and not self._in_trouble:
            log.warning("%s does not take spans, which are lost meanwhile: %s", self._endpoint, _told.first)
        elif self._in_trouble and not failed:
            log.warning("%s takes spans again", self._endpoint)
        self._in_trouble = failed
        return result

    def shutdown(self) -> None:
        """No retries any more. The library calls it as well, which would complain of a second time."""
        if not self._ended:
            self._ended = True
            self._otlp.shutdown()  # type: ignore[no-untyped-call]
