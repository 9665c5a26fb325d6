"""Requests and batches as spans: what app/telemetry/request_context.py promises, by OpenTelemetry's own library.

A request is a span with its stages below it, a batch of the model a span of its own trace that links to the sampled
requests in it. Names are templates; ids of users, items and what is in a body or path are never in a span. It knows no
ASGI and no queue: how spans leave is in export.py.
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
from app.telemetry.request_context import RemoteTraceContext, RequestTrace, Stage
from app.telemetry.tracing.export import BoundedSpanProcessor

MAX_HEADER_BYTES = 512
"""As the library's; it would log a warning for each that is longer, and so let callers fill the log."""
_NO_PARENT = Context()
_w3c = TraceContextTextMapPropagator()


class RequestSpan:
    def __init__(self, tracer: Tracer, parent: Context, request_id: str) -> None:
        self._tracer = tracer
        self._request_id = request_id
        self._began_ns, self._began = time.time_ns(), time.perf_counter()
        self._span = tracer.start_span("HTTP", context=parent, kind=SpanKind.SERVER, start_time=self._began_ns)
        self.context = self._span.get_span_context()
        self.is_sampled = self.context.trace_flags.sampled

    @property
    def trace_id(self) -> str:
        return f"{self.context.trace_id:032x}"

    @property
    def response_header(self) -> bytes:
        return b"00-%032x-%016x-%02x" % (self.context.trace_id, self.context.span_id, self.context.trace_flags)

    def end(
        self, method: str, route: str, code: str, stages: Mapping[str, Stage], answered: tuple[str, str | None] | None
    ) -> None:
        if not self.is_sampled:
            return
        inside = set_span_in_context(self._span, _NO_PARENT)
        for name, (began, seconds) in stages.items():
            start_ns = self._began_ns + int((began - self._began) * 1e9)
            self._tracer.start_span(name, context=inside, start_time=start_ns).end(start_ns + int(seconds * 1e9))
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(self._attributes(method, route, code, answered))
        if code >= "500":
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def _attributes(
        self, method: str, route: str, code: str, answered: tuple[str, str | None] | None
    ) -> dict[str, str | int]:
        """OpenTelemetry's names for HTTP, but `url.path`, which has user ids in it."""
        found: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": int(code),
            "nextup.request_id": self._request_id,
        }
        if code >= "500":
            found["error.type"] = code
        if answered is not None:
            served_by, reason = answered
            found["nextup.served_by"] = served_by
            if reason is not None:
                found["nextup.reason"] = reason
        return found


class OpenTelemetry:
    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("nextup", __version__)

    def start_request(self, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> RequestSpan:
        return RequestSpan(self._tracer, _parent(headers), request_id)

    def record_batch(self, start_ns: int, version: str, asked: Sequence[RequestTrace | None]) -> None:
        # One link per request: POST /recommend/batch puts many queries into a batch.
        sampled = [context for trace in asked if (context := _sampled(trace)) is not None]
        if sampled:
            links = [Link(context) for context in {context.span_id: context for context in sampled}.values()]
            attributes: Attributes = {"nextup.batch.size": len(asked), "nextup.model.version": version}
            self._tracer.start_span("batch", _NO_PARENT, SpanKind.INTERNAL, attributes, links, start_ns).end()


@asynccontextmanager
async def open_tracing(
    endpoint: str, *, sample_ratio: float, max_links: int, flush_s: float
) -> AsyncIterator[OpenTelemetry]:
    """Until the block ends, and then at most `flush_s` for what has not left yet.

    `sample_ratio` of the traces that begin here are kept; of those that callers began, the ones that they keep.
    """
    outbox = BoundedSpanProcessor(endpoint)
    about: dict[str, str | int] = {"service.name": "nextup", "service.version": __version__, "process.pid": os.getpid()}
    provider = TracerProvider(
        sampler=ParentBased(root=RatioOrLinkedSampler(sample_ratio)),
        resource=Resource.create(about),
        shutdown_on_exit=False,
        span_limits=SpanLimits(max_links=max_links),
    )
    provider.add_span_processor(outbox)
    try:
        yield OpenTelemetry(provider)
    finally:
        await outbox.close(flush_s)


class RatioOrLinkedSampler(Sampler):
    """Of what has no parent: a share of the requests, and every batch with a link, which is that of a sampled one."""

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


def _sampled(trace: RequestTrace | None) -> SpanContext | None:
    """Of a request that is kept, here or in another process."""
    if isinstance(trace, RequestSpan):
        return trace.context if trace.is_sampled else None
    if not isinstance(trace, RemoteTraceContext):
        return None
    return get_current_span(_parent([(b"traceparent", trace.response_header)])).get_span_context()


def _parent(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """What the caller's `traceparent` says; nothing if it is malformed, too long, or there are two of them.

    `tracestate` is for those who ask others in turn, which we do not.
    """
    given = [value for name, value in headers if name == b"traceparent"]
    if len(given) != 1 or len(given[0]) > MAX_HEADER_BYTES:
        return _NO_PARENT
    return _w3c.extract({"traceparent": given[0].decode("latin-1")}, _NO_PARENT)
