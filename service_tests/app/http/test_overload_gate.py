"""The gate refuses only whole plain requests, only while the event loop is late, and opens again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.overload_gate import LATE_S, MIN_IN_PROGRESS, TARGET_S, TICK_S, OverloadGate
from app.settings import Settings

BODY = b'{"history": ["i1"]}'
HEAD = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 19\r\n"
REQUEST = HEAD + b"\r\n" + BODY
MANY = 10 * MIN_IN_PROGRESS


def make_late_gate(**settings: str) -> OverloadGate:
    """Make a gate whose event loop has been late with many requests in progress."""
    gate = OverloadGate(Settings.model_validate(settings))
    assert gate.refuse(REQUEST, MANY) is None, "the loop is on time"
    for _ in range(60):
        gate.observe(2 * LATE_S, 1.0)
    return gate


def test_whole_plain_request_is_refused_with_retry_after_while_the_loop_is_late() -> None:
    response = make_late_gate().refuse(REQUEST, MANY)
    assert response is not None
    head, _, body = response.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ") for line in lines[1:])
    problem = json.loads(body)
    assert lines[0] == "HTTP/1.1 503 Service Unavailable"
    assert (headers["retry-after"], headers["content-type"]) == ("1", "application/problem+json")
    assert int(headers["content-length"]) == len(body)
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    assert (problem["title"], problem["request_id"]) == ("Overloaded", headers["x-request-id"])


def test_responses_have_different_ids() -> None:
    gate = make_late_gate()
    assert gate.refuse(REQUEST, MANY) != gate.refuse(REQUEST, MANY)


@pytest.mark.parametrize(
    "content",
    [
        REQUEST[:-1],
        REQUEST + b"P",
        REQUEST + REQUEST,
        HEAD,
        b"",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        REQUEST.replace(b"/recommend", b"/events"),
        REQUEST.replace(b"/recommend", b"/recommend/batch"),
        REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HEAD + b"Content-Length: 19\r\n\r\n" + BODY,
        HEAD + b"content-length: 0\r\n\r\n" + BODY,
        HEAD + b"Content-Length : 5\r\n\r\n" + BODY,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + BODY,
        HEAD + b"Connection: close\r\n\r\n" + BODY,
        HEAD + b"Expect: 100-continue\r\n\r\n" + BODY,
        HEAD + b"X-Request-ID: mine\r\n\r\n" + BODY,
    ],
)
def test_other_bytes_are_parsed_as_usual(content: bytes) -> None:
    gate = make_late_gate()
    assert [gate.refuse(content, MANY) for _ in range(2)] == [None, None]


@given(st.binary(max_size=300), st.integers(0, len(REQUEST)))
def test_damaged_requests_raise_nothing_and_only_whole_ones_are_refused(noise: bytes, position: int) -> None:
    response = make_late_gate().refuse(REQUEST[:position] + noise, MANY)
    if response is not None:
        assert noise.endswith(REQUEST[position:][-len(BODY) :]) or b"\r\n\r\n" in REQUEST[:position] + noise


def test_few_requests_are_never_refused() -> None:
    gate = make_late_gate()
    assert gate.refuse(REQUEST, MIN_IN_PROGRESS - 1) is None
    assert gate.refuse(REQUEST, MIN_IN_PROGRESS) is not None


def test_requests_beyond_what_ends_in_a_moment_are_refused_although_the_loop_is_on_time() -> None:
    gate = make_late_gate()
    in_progress = peak = 0
    ends_per_tick = round(2 * MIN_IN_PROGRESS * TICK_S / TARGET_S)  # twice as many as the fewest end within the target
    for tick in range(1000):
        for _ in range(10 * MIN_IN_PROGRESS):
            in_progress += gate.refuse(REQUEST, in_progress) is None
        gate.observe(0.0, 1.0)
        in_progress = max(0, in_progress - ends_per_tick)
        peak = max(peak, in_progress) if tick > 500 else 0
    assert MIN_IN_PROGRESS / 2 < peak < 4 * MIN_IN_PROGRESS


def test_slow_store_does_not_keep_the_gate_closed_after_a_moment_of_lateness() -> None:
    gate = make_late_gate()
    in_progress = refused = 0
    for _ in range(1500):
        refused = 0
        for _ in range(20):  # a thousand requests per second, each of which waits 0.2 s for the store
            is_refused = gate.refuse(REQUEST, in_progress) is not None
            refused += is_refused
            in_progress += not is_refused
        gate.observe(0.0, 0.3)
        in_progress -= round(in_progress * TICK_S / 0.2)
    assert refused == 0


def test_gate_opens_again_when_the_loop_is_on_time() -> None:
    gate = make_late_gate()
    assert gate.refuse(REQUEST, MANY) is not None
    for _ in range(200):
        gate.observe(0.0, 0.1)
    assert gate.refuse(REQUEST, MANY) is None


def test_prefix_of_the_path_is_known() -> None:
    gate = make_late_gate(root_path="/shop")
    assert gate.refuse(REQUEST.replace(b"/recommend", b"/shop/recommend"), MANY) is not None
    assert gate.refuse(REQUEST, MANY) is not None, "the proxy may strip it"
