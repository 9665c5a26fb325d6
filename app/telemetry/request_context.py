"""Context of the request being answered: its id and, if tracing is on, its trace.

Context variables make both available to log lines and queries of the request's task without passing them along. Does
not depend on OpenTelemetry: `app/telemetry/tracing` implements the two protocols below.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

Stage = tuple[float, float]
"""Start time of a stage of a request, by time.perf_counter(), and its duration in seconds."""

Outcome = tuple[str, str | None]
"""`served_by` and `reason` of a recommendation."""


class RequestTrace(Protocol):
    """Trace of one request, sampled or not."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def response_header(self) -> bytes:
        """Value of `traceresponse`: trace and span for the client, in the format of W3C's traceparent."""

    def end(self, method: str, route: str, code: str, stages: Mapping[str, Stage], outcome: Outcome | None) -> None:
        """End the request's span."""


@dataclass(frozen=True, slots=True)
class RemoteTraceContext:
    """Trace of a sampled request in another process, whose query is answered here."""

    response_header: bytes

    @property
    def trace_id(self) -> str:
        return self.response_header.decode("ascii").split("-")[1]

    def end(self, *_: object) -> None:
        """Do nothing: the other process ends its span."""


class Tracing(Protocol):
    """Records requests and model batches as spans."""

    def start_request(self, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> RequestTrace: ...

    def record_batch(self, start_ns: int, version: str, traces: Sequence[RequestTrace | None]) -> None:
        """Record a batch that has ended; `start_ns` is its start by time.time_ns(), with one trace per query."""


CURRENT_REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
CURRENT_TRACE: ContextVar[RequestTrace | None] = ContextVar("trace", default=None)
