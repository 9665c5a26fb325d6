"""What goes over the socket comes back as it was: queries, answers, errors, and messages cut anywhere."""

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
    SimilarRequest,
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
from app.item_key import ItemKeys
from service_tests.failures.test_overload import wait_until
from service_tests.support.artifacts import tiny_catalogue

Message = TypeVar("Message", QueryResult, ErrorResult)

KEYS = st.lists(st.integers(0, 2**64 - 1), max_size=5).map(lambda numbers: np.array(numbers, dtype="<u8"))
WORDS = st.lists(st.text(max_size=5), max_size=3).map(tuple)


@given(
    history=KEYS, k=st.integers(1, 100), seen=st.booleans(), exclude=KEYS, candidates=st.none() | KEYS, categories=WORDS
)
def test_a_query_arrives_as_it_was(
    history: ItemKeys,
    k: int,
    seen: bool,
    exclude: ItemKeys,
    candidates: ItemKeys | None,
    categories: tuple[str, ...],
) -> None:
    times = np.arange(len(history), dtype=np.uint32) + 1_700_000_000
    query = Query(history, k, seen, exclude, candidates, categories, times)
    there = decode_query(_sent(query))
    assert isinstance(there, Query)
    assert (there.k, there.exclude_seen, there.categories) == (k, seen, categories)
    for one, other in ((there.history, history), (there.exclude, exclude), (there.times, times)):
        assert one is not None
        assert one.tolist() == other.tolist()
    assert (None if there.candidates is None else there.candidates.tolist()) == (
        None if candidates is None else candidates.tolist()
    )


def test_a_question_for_similar_items_arrives_as_it_was() -> None:
    there = decode_query(_sent(SimilarQuery("ü", 7, np.array([5], dtype="<u8"), ("a",))))
    assert isinstance(there, SimilarQuery)
    assert (there.item, there.k, there.exclude.tolist(), there.categories) == ("ü", 7, [5], ("a",))


def test_a_deadline_travels_as_the_time_that_is_left() -> None:
    ask = _sent(SimilarQuery("i1", 1), in_s=2.5)
    assert 2.4 < ask.left_s <= 2.5


def _sent(query: Query | SimilarQuery, in_s: float = 1.0) -> QueryRequest | SimilarRequest:
    async def sent() -> QueryRequest | SimilarRequest:
        return encode_query(3, query, asyncio.get_running_loop().time() + in_s)

    found = client_message_decoder.decode(encoder.encode(asyncio.run(sent())))
    assert isinstance(found, QueryRequest | SimilarRequest)
    return found


@pytest.mark.parametrize("source", ["model", "popularity"])
def test_an_answer_arrives_as_it_was_also_without_items(source: Source) -> None:
    catalogue = tiny_catalogue()
    for indices, unknown in (([3, 1], [2, 7]), ([], [])):
        scores = [float(np.float32(0.1)), -1e30][: len(indices)]
        top = TopItems(indices, scores, source, np.array(unknown, dtype=np.int64), "v1", catalogue, 0.25, 0.5, 0.0)
        there = decode_result(_said(encode_result(9, top), QueryResult), catalogue)
        assert (there.indices, there.scores, there.source, there.version) == (indices, scores, source, "v1")
        assert (there.unknown_positions.tolist(), there.encode_s, there.score_s) == (unknown, 0.25, 0.5)
        assert there.item_ids == [f"i{index}" for index in indices]


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
def test_an_error_is_the_same_on_the_other_side(error: ServiceError) -> None:
    there = decode_error(_said(encode_error(1, error), ErrorResult))
    assert type(there) is type(error)
    assert (there.detail, there.retry_after_s) == (error.detail, error.retry_after_s)
    assert str(there) == str(error)


def _said(said: Message, kind: type[Message]) -> Message:
    found = server_message_decoder.decode(encoder.encode(said))
    assert isinstance(found, kind)
    return found


def test_an_error_that_nobody_expected_is_no_answer_of_the_service() -> None:
    there = decode_error(encode_error(1, ZeroDivisionError("division by zero")))
    assert not isinstance(there, ServiceError)
    assert "division by zero" in str(there)


@given(messages=st.lists(st.binary(max_size=9), max_size=6), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_messages_come_whole_and_in_order_wherever_the_stream_is_cut(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(len(message).to_bytes(4, "little") + message for message in messages)
    came: list[bytes] = []
    frames = FramedConnection(came.append, lambda: None)
    ends = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for begin, end in pairwise(ends):
        frames.data_received(stream[begin:end])
    assert came == messages


@pytest.mark.anyio
async def test_what_is_held_comes_after_the_release_and_none_is_lost() -> None:
    came: list[bytes] = []
    ended: list[bool] = []

    def arrived(message: bytes) -> None:
        came.append(message)
        if message == b"stop":
            frames.pause()

    frames, other = (
        FramedConnection(arrived, lambda: ended.append(True)),
        FramedConnection(lambda _: None, lambda: None),
    )
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: frames, sock=ours)
    await loop.create_connection(lambda: other, sock=theirs)
    for message in (b"a", b"stop", b"b"):
        other.send(message)
    await wait_until(lambda: came == [b"a", b"stop"])
    frames.resume()
    await wait_until(lambda: came == [b"a", b"stop", b"b"])
    other.send(b"c")
    await wait_until(lambda: came == [b"a", b"stop", b"b", b"c"])
    other.close()
    await wait_until(lambda: ended == [True])
    frames.send(b"nobody reads this")


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="are the most"):
        FramedConnection(lambda _: None, lambda: None).send(bytes(MAX_MESSAGE_BYTES + 1))
