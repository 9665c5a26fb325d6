"""Which request is being answered: its id, and its trace if somebody traces. Known to all that runs in its task.

So a log line and a query can say whose they are, and nobody hands it through. It knows no HTTP and no OpenTelemetry:
who traces is an object of the two protocols below, from app/tracing.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

Stage = tuple[float, float]
"""When a part of a request began, by time.perf_counter(), and its seconds."""


class RequestTrace(Protocol):
    """One request that is traced, sampled or not."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def response_header(self) -> bytes:
        """What tells the caller which trace it was: as W3C's traceparent, its flags at the end."""

    def end(
        self, method: str, route: str, code: str, stages: Mapping[str, Stage], answered: tuple[str, str | None] | None
    ) -> None:
        """The request is over. `answered`: who gave a recommendation, and why not the model."""


@dataclass(frozen=True, slots=True)
class RemoteTraceContext:
    """A sampled request of another process, whose query is answered here."""

    response_header: bytes

    @property
    def trace_id(self) -> str:
        return self.response_header.decode("ascii").split("-")[1]

    def end(self, *_: object) -> None:
        """The other process ends it."""


class Tracing(Protocol):
    """Whoever makes traces of requests and batches."""

    def start_request(self, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> RequestTrace: ...

    def record_batch(self, start_ns: int, version: str, asked: Sequence[RequestTrace | None]) -> None:
        """A batch of the model is over, which began then by time.time_ns(); one trace per query in it."""


CURRENT_REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
CURRENT_TRACE: ContextVar[RequestTrace | None] = ContextVar("trace", default=None)
