"""Protocol and framing: queries, results and errors survive the socket, and messages may be split anywhere."""

import asyncio
import socket
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.errors import ServiceError
from app.inference import Query, SimilarQuery, TopItems
from app.inference.query import Source
from app.inference.remote.framing import MAX_MESSAGE_BYTES, FramedConnection
from app.inference.remote.protocol import (
    ErrorResult,
    QueryRequest,
    QueryResult,
    SimilarQueryRequest,
    client_message_decoder,
    decode_error,
    decode_query,
    decode_result,
    encode_error,
    encode_query,
    encode_result,
    encoder,
    server_message_decoder,
)
from models.catalogue.item_key import ItemKeys
from models.explanation import Explanation, Reason
from service_tests.support.artifacts import tiny_catalogue
from service_tests.support.service import wait_until

Message = TypeVar("Message", QueryResult, ErrorResult)

KEYS = st.lists(st.integers(0, 2**64 - 1), max_size=5).map(lambda numbers: np.array(numbers, dtype="<u8"))
WORDS = st.lists(st.text(max_size=5), max_size=3).map(tuple)


def transfer_query(query: Query | SimilarQuery, remaining_s: float = 1.0) -> QueryRequest | SimilarQueryRequest:
    async def encode() -> QueryRequest | SimilarQueryRequest:
        return encode_query(3, query, asyncio.get_running_loop().time() + remaining_s)

    request = client_message_decoder.decode(encoder.encode(asyncio.run(encode())))
    assert isinstance(request, QueryRequest | SimilarQueryRequest)
    return request


def transfer_message(message: Message, kind: type[Message]) -> Message:
    received = server_message_decoder.decode(encoder.encode(message))
    assert isinstance(received, kind)
    return received


@given(
    history=KEYS,
    k=st.integers(1, 100),
    exclude_seen=st.booleans(),
    exclude=KEYS,
    candidates=st.none() | KEYS,
    categories=WORDS,
    request_time=st.integers(0, 2**32 - 1),
    explain=st.booleans(),
)
def test_query_survives_the_transfer(
    history: ItemKeys,
    k: int,
    exclude_seen: bool,
    exclude: ItemKeys,
    candidates: ItemKeys | None,
    categories: tuple[str, ...],
    request_time: int,
    explain: bool,
) -> None:
    times = np.arange(len(history), dtype=np.uint32) + 1_700_000_000
    query = Query(history, k, exclude_seen, exclude, candidates, categories, times, request_time, explain)
    decoded = decode_query(transfer_query(query))
    assert isinstance(decoded, Query)
    assert (decoded.k, decoded.exclude_seen, decoded.categories) == (k, exclude_seen, categories)
    assert (decoded.request_time, decoded.explain) == (request_time, explain)
    for actual, expected in ((decoded.history, history), (decoded.exclude, exclude), (decoded.read_times(), times)):
        assert actual is not None
        assert actual.tolist() == expected.tolist()
    assert (None if decoded.candidates is None else decoded.candidates.tolist()) == (
        None if candidates is None else candidates.tolist()
    )


def test_similar_query_survives_the_transfer() -> None:
    decoded = decode_query(transfer_query(SimilarQuery("ü", 7, np.array([5], dtype="<u8"), ("a",))))
    assert isinstance(decoded, SimilarQuery)
    assert (decoded.item, decoded.k, decoded.exclude.tolist(), decoded.categories) == ("ü", 7, [5], ("a",))


def test_deadline_is_transferred_as_remaining_seconds() -> None:
    request = transfer_query(SimilarQuery("i1", 1), remaining_s=2.5)
    assert 2.4 < request.remaining_s <= 2.5


@pytest.mark.parametrize("source", ["model", "popularity"])
def test_result_survives_the_transfer_also_without_items(source: Source) -> None:
    catalogue = tiny_catalogue()
    for indices, unknown in (([3, 1], [2, 7]), ([], [])):
        scores = [float(np.float32(0.1)), -1e30][: len(indices)]
        explanations = [Explanation((Reason(2, 0.75, 0.5),), 5, -0.25) for _ in indices] or None
        unknown_positions = np.array(unknown, dtype=np.int64)
        top = TopItems(indices, scores, source, unknown_positions, "v1", catalogue, 0.25, 0.5, 0.0, explanations)
        decoded = decode_result(transfer_message(encode_result(9, top), QueryResult), catalogue)
        assert (decoded.indices, decoded.scores, decoded.source) == (indices, scores, source)
        assert (decoded.unknown_positions.tolist(), decoded.version) == (unknown, "v1")
        assert (decoded.encode_s, decoded.score_s, decoded.explanations) == (0.25, 0.5, explanations)
        assert decoded.item_ids == [f"i{index}" for index in indices]


@pytest.mark.parametrize(
    "error",
    [
        errors.Overloaded("full", retry_after_s=0.3),
        errors.DeadlineExceeded("late"),
        errors.NotFound("no item"),
        errors.Draining(),
        errors.ArtifactRejected("a byte"),
        errors.ActivationInProgress(),
    ],
)
def test_service_error_survives_the_transfer(error: ServiceError) -> None:
    decoded = decode_error(transfer_message(encode_error(1, error), ErrorResult))
    assert type(decoded) is type(error)
    assert (decoded.detail, decoded.retry_after_s) == (error.detail, error.retry_after_s)
    assert str(decoded) == str(error)


def test_unexpected_error_does_not_become_a_service_error() -> None:
    decoded = decode_error(encode_error(1, ZeroDivisionError("division by zero")))
    assert not isinstance(decoded, ServiceError)
    assert "division by zero" in str(decoded)


@given(messages=st.lists(st.binary(max_size=9), max_size=6), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_messages_arrive_whole_and_in_order_wherever_the_stream_is_split(
    messages: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(len(message).to_bytes(4, "little") + message for message in messages)
    received: list[bytes] = []
    connection = FramedConnection(received.append, lambda: None)
    positions = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(positions):
        connection.data_received(stream[start:end])
    assert received == messages


@pytest.mark.anyio
async def test_messages_of_a_paused_connection_arrive_after_resume() -> None:
    received: list[bytes] = []
    ends: list[bool] = []

    def on_message(message: bytes) -> None:
        received.append(message)
        if message == b"stop":
            receiver.pause()

    receiver = FramedConnection(on_message, lambda: ends.append(True))
    sender = FramedConnection(lambda _: None, lambda: None)
    receiver_socket, sender_socket = socket.socketpair()
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: receiver, sock=receiver_socket)
    await loop.create_connection(lambda: sender, sock=sender_socket)
    for message in (b"a", b"stop", b"b"):
        sender.send(message)
    await wait_until(lambda: received == [b"a", b"stop"])
    receiver.resume()
    await wait_until(lambda: received == [b"a", b"stop", b"b"])
    sender.send(b"c")
    await wait_until(lambda: received == [b"a", b"stop", b"b", b"c"])
    sender.abort()
    await wait_until(lambda: ends == [True])
    receiver.send(b"discarded, because the connection has ended")


def test_message_beyond_the_limit_is_not_sent() -> None:
    with pytest.raises(ValueError, match="a message must have at most"):
        FramedConnection(lambda _: None, lambda: None).send(bytes(MAX_MESSAGE_BYTES + 1))
