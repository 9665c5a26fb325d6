"""Messages between an HTTP worker and the model process, and how errors are transferred.

Durations are sent instead of times, because the processes' clocks differ. Arrays are sent as their bytes, little
endian. Items are sent as keys and returned as catalogue indices of the version that the result names. A query carries
the trace of its request if that is sampled. The module is longer than 250 lines because all messages are here.
"""

import asyncio
import time

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
from app.inference.comparison import ActivationOutcome
from app.inference.filters import parse_filter
from app.inference.interfaces import ModelInfo
from app.inference.query import Query, SimilarQuery, Source, TopItems
from app.inference.remote.rules import EncodedRules, decode_rules, encode_rules
from app.telemetry.request_context import RemoteTraceContext
from models.catalogue.catalogue import Catalogue
from models.explanation import Explanation


class QueryRequest(msgspec.Struct, array_like=True, tag=0, gc=False, frozen=True):
    number: int
    remaining_s: float
    history: bytes
    k: int
    exclude_seen: bool
    exclude: bytes
    candidates: bytes | None
    categories: tuple[str, ...]
    times: bytes | None
    request_time: int
    explain: bool
    filter: bytes | None = None
    trace: bytes | None = None
    rules: EncodedRules | None = None
    version: str | None = None
    includes_new_items: bool = True


class SimilarQueryRequest(msgspec.Struct, array_like=True, tag=1, frozen=True):
    number: int
    remaining_s: float
    item: str
    k: int
    exclude: bytes
    categories: tuple[str, ...]
    filter: bytes | None = None
    trace: bytes | None = None


class CancelRequest(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """The caller of this number no longer waits; there is no reply."""

    number: int


class ActivateRequest(msgspec.Struct, array_like=True, tag=3, frozen=True):
    number: int
    version: str


class VersionAnnouncement(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """The version that answers from now on: the first message of a connection, and before any result of a version."""

    folder: str
    model_info: ModelInfo


class QueryResult(msgspec.Struct, array_like=True, tag=5, gc=False, frozen=True):
    """`batch_age_s`: seconds from the start of the batch to the encoding of the result."""

    number: int
    version: str
    is_from_model: bool
    indices: bytes
    scores: bytes
    unknown_positions: bytes
    encode_s: float
    score_s: float
    batch_age_s: float
    explanations: list[Explanation] | None = None
    new_item_ids: dict[int, str] | None = None


class ActivateResult(msgspec.Struct, array_like=True, tag=6, frozen=True):
    number: int
    outcome: ActivationOutcome


class ErrorResult(msgspec.Struct, array_like=True, tag=7, frozen=True):
    """`kind` names a service error; it is empty for unexpected errors, which the model process has logged."""

    number: int
    kind: str
    detail: str
    retry_after_s: float | None


class ResidentsAnnouncement(msgspec.Struct, array_like=True, tag=8, frozen=True):
    """Folders of the versions that answer queries which name them, and why others cannot, before any result of one."""

    folders: dict[str, str]
    problems: dict[str, str]


ClientMessage = QueryRequest | SimilarQueryRequest | CancelRequest | ActivateRequest
Announcement = VersionAnnouncement | ResidentsAnnouncement
ServerMessage = Announcement | QueryResult | ActivateResult | ErrorResult

SAMPLED_FLAG = 1
"""Bit of the flags at the end of a traceparent header."""
MAX_DETAIL_CHARACTERS = 500

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
_ERRORS_BY_KIND = {error.__name__: error for error in _ERRORS}


def encode_query(number: int, query: Query | SimilarQuery, deadline: float) -> QueryRequest | SimilarQueryRequest:
    """Build the request of a query; `deadline` is a value of the running loop's `time()`."""
    remaining_s = deadline - asyncio.get_running_loop().time()
    exclude = query.exclude.tobytes()
    trace = _encode_trace(query)
    filter_text = None if query.item_filter is None else query.item_filter.text
    if isinstance(query, SimilarQuery):
        return SimilarQueryRequest(
            number, remaining_s, query.item, query.k, exclude, query.categories, filter_text, trace
        )
    return QueryRequest(
        number,
        remaining_s,
        query.history.tobytes(),
        query.k,
        query.exclude_seen,
        exclude,
        None if query.candidates is None else query.candidates.tobytes(),
        query.categories,
        None if (times := query.read_times()) is None else times.tobytes(),
        query.request_time,
        query.explain,
        filter_text,
        trace,
        None if query.rules is None else encode_rules(query.rules),
        query.version,
        query.includes_new_items,
    )


def decode_query(request: QueryRequest | SimilarQueryRequest) -> Query | SimilarQuery:
    """Rebuild the query; ValueError if an array's bytes are not a whole number of elements."""
    trace = None if request.trace is None else RemoteTraceContext(request.trace)
    item_filter = None if request.filter is None else parse_filter(request.filter)
    if isinstance(request, SimilarQueryRequest):
        exclude = _decode_keys(request.exclude)
        return SimilarQuery(request.item, request.k, exclude, request.categories, item_filter, trace)
    return Query(
        history=_decode_keys(request.history),
        k=request.k,
        exclude_seen=request.exclude_seen,
        exclude=_decode_keys(request.exclude),
        candidates=None if request.candidates is None else _decode_keys(request.candidates),
        categories=request.categories,
        times=None if request.times is None else np.frombuffer(request.times, dtype="<u4"),
        request_time=request.request_time,
        explain=request.explain,
        item_filter=item_filter,
        rules=None if request.rules is None else decode_rules(request.rules),
        includes_new_items=request.includes_new_items,
        trace=trace,
        version=request.version,
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
        top.explanations,
        None if top.new_item_ids is None else dict(top.new_item_ids),
    )


def decode_result(result: QueryResult, catalogue: Catalogue) -> TopItems:
    """Rebuild the answer; `catalogue` must be that of `result.version`."""
    source: Source = "model" if result.is_from_model else "popularity"
    return TopItems(
        indices=np.frombuffer(result.indices, dtype="<i4").tolist(),
        scores=np.frombuffer(result.scores, dtype="<f8").tolist(),
        source=source,
        unknown_positions=np.frombuffer(result.unknown_positions, dtype="<i4").astype(np.int64),
        version=result.version,
        catalogue=catalogue,
        encode_s=result.encode_s,
        score_s=result.score_s,
        started_at=time.perf_counter() - result.batch_age_s,
        explanations=result.explanations,
        new_item_ids=result.new_item_ids,
    )


def encode_error(number: int, error: Exception) -> ErrorResult:
    if isinstance(error, _ERRORS):
        return ErrorResult(number, type(error).__name__, error.detail, error.retry_after_s)
    return ErrorResult(number, "", repr(error)[:MAX_DETAIL_CHARACTERS], None)


def decode_error(result: ErrorResult) -> Exception:
    """Build the exception that the same call would raise with the model in this process."""
    error = _ERRORS_BY_KIND.get(result.kind)
    if error is None:
        return RuntimeError(f"the model process failed: {result.detail}")
    return error(result.detail, result.retry_after_s)


def _encode_trace(query: Query | SimilarQuery) -> bytes | None:
    """Trace header of the query's request if it is sampled."""
    header = None if query.trace is None else query.trace.response_header
    return header if header is not None and int(header[-2:], 16) & SAMPLED_FLAG else None


def _decode_keys(raw: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(raw, dtype="<u8")
