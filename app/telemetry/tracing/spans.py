"""Requests and batches as OpenTelemetry spans; implements the protocols of `app/telemetry/request_context.py`.

A request is a span with its stages as children. A model batch is a span in a separate trace, linked to the sampled
requests in it. Span names are route templates; ids of users and items, bodies and paths are never recorded.
"""

import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from app import __version__
from app.telemetry.request_context import Outcome, RemoteTraceContext, RequestTrace, Stage
from app.telemetry.tracing.export import BoundedSpanProcessor

MAX_HEADER_BYTES = 512
"""The library's limit; it would log a warning for each longer header, which lets clients flood the log."""
CLOCK_GAP_S = 5e-5
MAX_CLOCK_READS = 5
_NO_PARENT = Context()
_w3c = TraceContextTextMapPropagator()


class RequestSpan:
    def __init__(self, tracer: Tracer, parent: Context, request_id: str) -> None:
        self._tracer = tracer
        self._request_id = request_id
        self._start_ns, self._started_at = read_clocks()
        self._span = tracer.start_span("HTTP", context=parent, kind=SpanKind.SERVER, start_time=self._start_ns)
        self.context = self._span.get_span_context()
        self.is_sampled = self.context.trace_flags.sampled

    @property
    def trace_id(self) -> str:
        return f"{self.context.trace_id:032x}"

    @property
    def response_header(self) -> bytes:
        return b"00-%032x-%016x-%02x" % (self.context.trace_id, self.context.span_id, self.context.trace_flags)

    def end(self, method: str, route: str, code: str, stages: Mapping[str, Stage], outcome: Outcome | None) -> None:
        if not self.is_sampled:
            return
        parent = set_span_in_context(self._span, _NO_PARENT)
        for name, (started_at, seconds) in stages.items():
            start_ns = self._start_ns + int((started_at - self._started_at) * 1e9)
            self._tracer.start_span(name, context=parent, start_time=start_ns).end(start_ns + int(seconds * 1e9))
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(self._build_attributes(method, route, code, outcome))
        if code >= "500":
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def _build_attributes(self, method: str, route: str, code: str, outcome: Outcome | None) -> dict[str, str | int]:
        """Build OpenTelemetry's HTTP attributes, without `url.path`, which contains user ids."""
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": int(code),
            "nextup.request_id": self._request_id,
        }
        if code >= "500":
            attributes["error.type"] = code
        if outcome is not None:
            served_by, reason = outcome
            attributes["nextup.served_by"] = served_by
            if reason is not None:
                attributes["nextup.reason"] = reason
        return attributes


class OpenTelemetryTracing:
    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("nextup", __version__)

    def start_request(self, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> RequestSpan:
        return RequestSpan(self._tracer, _extract_parent(headers), request_id)

    def record_batch(self, start_ns: int, version: str, traces: Sequence[RequestTrace | None]) -> None:
        # One link per request: POST /recommend/batch contributes many queries to a batch.
        sampled = [context for trace in traces if (context := _get_sampled_context(trace)) is not None]
        if sampled:
            links = [Link(context) for context in {context.span_id: context for context in sampled}.values()]
            attributes: Attributes = {"nextup.batch.size": len(traces), "nextup.model.version": version}
            self._tracer.start_span("batch", _NO_PARENT, SpanKind.INTERNAL, attributes, links, start_ns).end()


@asynccontextmanager
async def open_tracing(
    endpoint: str, *, sample_ratio: float, max_links: int, flush_s: float
) -> AsyncIterator[OpenTelemetryTracing]:
    """Trace until the block ends, then flush the queued spans for at most `flush_s`.

    `sample_ratio` of the traces that start here are sampled; traces that clients started follow the client's decision.
    """
    processor = BoundedSpanProcessor(endpoint)
    attributes: dict[str, str | int] = {
        "service.name": "nextup",
        "service.version": __version__,
        "process.pid": os.getpid(),
    }
    provider = TracerProvider(
        sampler=ParentBased(root=RatioOrLinkedSampler(sample_ratio)),
        resource=Resource.create(attributes),
        shutdown_on_exit=False,
        span_limits=SpanLimits(max_links=max_links),
    )
    provider.add_span_processor(processor)
    try:
        yield OpenTelemetryTracing(provider)
    finally:
        await processor.close(flush_s)


class RatioOrLinkedSampler(Sampler):
    """Samples spans without a parent: a ratio of the requests, and every batch that links to a sampled request."""

    def __init__(self, sample_ratio: float) -> None:
        self._ratio_sampler = TraceIdRatioBased(sample_ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        sampler = ALWAYS_ON if links else self._ratio_sampler
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"RatioOrLinkedSampler({self._ratio_sampler.get_description()})"


def read_clocks() -> tuple[int, float]:
    """Return time.time_ns() and time.perf_counter() of one moment, so that one can be computed from the other.

    The thread may be interrupted between the two reads; they are repeated then, at most `MAX_CLOCK_READS` times.
    """
    reads = 0
    while True:
        reads += 1
        before, wall_ns, after = time.perf_counter(), time.time_ns(), time.perf_counter()
        if after - before < CLOCK_GAP_S or reads == MAX_CLOCK_READS:
            return wall_ns, (before + after) / 2


def _get_sampled_context(trace: RequestTrace | None) -> SpanContext | None:
    """Return the context of a request that is sampled, here or in another process."""
    if isinstance(trace, RequestSpan):
        return trace.context if trace.is_sampled else None
    if not isinstance(trace, RemoteTraceContext):
        return None
    return get_current_span(_extract_parent([(b"traceparent", trace.response_header)])).get_span_context()


def _extract_parent(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """Extract the client's `traceparent`; no parent if it is malformed, too long or repeated.

    `tracestate` matters only to services that call others, which this one does not.
    """
    values = [value for name, value in headers if name == b"traceparent"]
    if len(values) != 1 or len(values[0]) > MAX_HEADER_BYTES:
        return _NO_PARENT
    return _w3c.extract({"traceparent": values[0].decode("latin-1")}, _NO_PARENT)
