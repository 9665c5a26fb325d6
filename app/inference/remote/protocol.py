"""What an HTTP worker and the model's process say to each other, and how errors travel.

Times are seconds that are left or have passed, never a clock's; arrays are their bytes, little endian. Items go as keys
and come back as indices of the catalogue of the version that the answer names. A query that is traced says of which
request it is. It knows no socket.
"""

import asyncio
import time
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.errors import (
    ActivationInProgress,
    ArtifactRejected,
    DeadlineExceeded,
    Draining,
    ModelUnavailable,
    NotFound,
    Overloaded,
    ServiceError,
)
from app.inference.interfaces import ModelInfo
from app.inference.query import Query, SimilarQuery, TopItems
from app.telemetry.request_context import RemoteTraceContext
from models.catalogue.catalogue import Catalogue


class QueryRequest(msgspec.Struct, array_like=True, tag=0, gc=False, frozen=True):
    number: int
    left_s: float
    history: bytes
    k: int
    exclude_seen: bool
    exclude: bytes
    candidates: bytes | None
    categories: tuple[str, ...]
    times: bytes | None
    trace: bytes | None = None


class SimilarRequest(msgspec.Struct, array_like=True, tag=1, frozen=True):
    number: int
    left_s: float
    item: str
    k: int
    exclude: bytes
    categories: tuple[str, ...]
    trace: bytes | None = None


class CancelRequest(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """Nobody waits for this number any more; there is no reply."""

    number: int


class ActivateRequest(msgspec.Struct, array_like=True, tag=3, frozen=True):
    number: int
    version: str


class VersionAnnouncement(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """The version that answers from here on, first of all on every connection and before any answer of it."""

    folder: str
    model_info: ModelInfo


class QueryResult(msgspec.Struct, array_like=True, tag=5, gc=False, frozen=True):
    """`ago_s`: how long before it was sent the batch had started."""

    number: int
    version: str
    by_model: bool
    indices: bytes
    scores: bytes
    unknown_positions: bytes
    encode_s: float
    score_s: float
    ago_s: float


class ActivateResult(msgspec.Struct, array_like=True, tag=6, frozen=True):
    number: int
    before: str


class ErrorResult(msgspec.Struct, array_like=True, tag=7, frozen=True):
    """`kind` is the name of a service error; empty for what nobody expected, which the model's process has logged."""

    number: int
    kind: str
    detail: str
    retry_after_s: float | None


ClientMessage = QueryRequest | SimilarRequest | CancelRequest | ActivateRequest
ServerMessage = VersionAnnouncement | QueryResult | ActivateResult | ErrorResult

SAMPLED = 1
"""Of the flags at the end of a traceparent."""

encoder = msgspec.msgpack.Encoder()
client_message_decoder = msgspec.msgpack.Decoder(ClientMessage)
server_message_decoder = msgspec.msgpack.Decoder(ServerMessage)

_ERRORS: tuple[type[ServiceError], ...] = (
    ActivationInProgress,
    ArtifactRejected,
    DeadlineExceeded,
    Draining,
    ModelUnavailable,
    NotFound,
    Overloaded,
)
_BY_NAME = {kind.__name__: kind for kind in _ERRORS}


def encode_query(number: int, query: Query | SimilarQuery, deadline: float) -> QueryRequest | SimilarRequest:
    """`deadline` by the running loop's `time()`."""
    left_s = deadline - asyncio.get_running_loop().time()
    exclude = query.exclude.tobytes()
    if isinstance(query, SimilarQuery):
        return SimilarRequest(number, left_s, query.item, query.k, exclude, query.categories, _sampled(query))
    return QueryRequest(
        number,
        left_s,
        query.history.tobytes(),
        query.k,
        query.exclude_seen,
        exclude,
        None if query.candidates is None else query.candidates.tobytes(),
        query.categories,
        None if query.times is None else query.times.tobytes(),
        _sampled(query),
    )


def decode_query(ask: QueryRequest | SimilarRequest) -> Query | SimilarQuery:
    """ValueError for bytes that are no whole numbers."""
    if isinstance(ask, SimilarRequest):
        return SimilarQuery(ask.item, ask.k, _keys(ask.exclude), ask.categories, _trace(ask))
    return Query(
        history=_keys(ask.history),
        k=ask.k,
        exclude_seen=ask.exclude_seen,
        exclude=_keys(ask.exclude),
        candidates=None if ask.candidates is None else _keys(ask.candidates),
        categories=ask.categories,
        times=None if ask.times is None else np.frombuffer(ask.times, dtype="<u4"),
        trace=_trace(ask),
    )


def encode_result(number: int, top: TopItems) -> QueryResult:
    return QueryResult(
        number,
        top.version,
        top.source == "model",
        np.array(top.indices, dtype="<i4").tobytes(),
        np.array(top.scores, dtype="<f8").tobytes(),
        top.unknown_positions.astype("<i4").tobytes() if len(top.unknown_positions) else b"",
        top.encode_s,
        top.score_s,
        time.perf_counter() - top.started_at,
    )


def decode_result(answer: QueryResult, catalogue: Catalogue) -> TopItems:
    """`catalogue` of the version that the answer names."""
    indices: list[int] = np.frombuffer(answer.indices, dtype="<i4").tolist()
    scores: list[float] = np.frombuffer(answer.scores, dtype="<f8").tolist()
    unknown_positions = np.frombuffer(answer.unknown_positions, dtype="<i4").astype(np.int64)
    source: Any = "model" if answer.by_model else "popularity"
    started_at = time.perf_counter() - answer.ago_s
    return TopItems(
        indices,
        scores,
        source,
        unknown_positions,
        answer.version,
        catalogue,
        answer.encode_s,
        answer.score_s,
        started_at,
    )


def encode_error(number: int, error: Exception) -> ErrorResult:
    if isinstance(error, _ERRORS):
        return ErrorResult(number, type(error).__name__, error.detail, error.retry_after_s)
    return ErrorResult(number, "", repr(error)[:500], None)


def decode_error(said: ErrorResult) -> Exception:
    """The exception that the same call in one process would have raised."""
    kind = _BY_NAME.get(said.kind)
    if kind is None:
        return RuntimeError(f"the model's process failed: {said.detail}")
    error = kind.__new__(kind)
    ServiceError.__init__(error, said.detail, retry_after_s=said.retry_after_s)
    return error


def _sampled(query: Query | SimilarQuery) -> bytes | None:
    """The trace of a request, if it is kept."""
    header = None if query.trace is None else query.trace.response_header
    return header if header is not None and int(header[-2:], 16) & SAMPLED else None


def _trace(ask: QueryRequest | SimilarRequest) -> RemoteTraceContext | None:
    return None if ask.trace is None else RemoteTraceContext(ask.trace)


def _keys(raw: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(raw, dtype="<u8")
