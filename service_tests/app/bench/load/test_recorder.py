"""What counts in the measured window, and what does not."""

import json

import pytest

from app.bench.load.recorder import MOST_NAMES, LatencyRecorder

OPENS, CLOSES = 100.0, 110.0


@pytest.fixture
def recorder() -> LatencyRecorder:
    return LatencyRecorder(OPENS, CLOSES - OPENS, capacity=100)


def test_the_warm_up_counts_only_among_all_answers(recorder: LatencyRecorder) -> None:
    recorder.record_response(98.0, 99.0, 200)
    recorder.record_response(98.0, 99.0, 500)
    recorder.record_failure(99.0, "timeout")
    recorder.record_sample(99.0, b'{"served_by": "model"}')
    tally = recorder.to_result(0.0, 0.0)
    assert (tally.answered, len(tally.latencies_s), tally.errors, tally.served_by) == (0, 0, 0, {})
    assert tally.all_answers == 2


def test_an_answer_counts_in_the_rate_if_it_came_in_the_window(recorder: LatencyRecorder) -> None:
    for sent_at, now in ((99.0, 101.0), (102.0, 103.0), (109.0, 111.0)):
        recorder.record_response(sent_at, now, 200)
    assert recorder.to_result(0.0, 0.0).answered == 2


def test_a_latency_counts_if_its_request_was_sent_in_the_window_however_late_the_answer(
    recorder: LatencyRecorder,
) -> None:
    for sent_at, now in ((99.0, 101.0), (102.0, 103.0), (109.0, 119.0)):
        recorder.record_response(sent_at, now, 200)
    assert recorder.to_result(0.0, 0.0).latencies_s.tolist() == [1.0, 10.0]


def test_an_answer_that_is_not_200_is_an_error_and_has_no_latency(recorder: LatencyRecorder) -> None:
    for status in (200, 503, 503, 422, 204):
        recorder.record_response(101.0, 102.0, status)
    tally = recorder.to_result(0.0, 0.0)
    assert tally.statuses == {503: 2, 422: 1, 204: 1}
    assert (tally.answered, len(tally.latencies_s), tally.errors) == (1, 1, 4)


def test_the_window_closes_when_there_is_no_room_for_latencies() -> None:
    recorder = LatencyRecorder(OPENS, CLOSES - OPENS, capacity=3)
    for second in range(5):
        recorder.record_response(OPENS + second, OPENS + second + 0.5, 200)
    tally = recorder.to_result(0.0, 0.0)
    assert tally.seconds == 2.5
    assert len(tally.latencies_s) == 3
    assert tally.answered / tally.seconds == pytest.approx(1.2), "three in two and a half seconds, the third at its end"


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b"\xff", b'{"served_by": 7}'])
def test_a_body_that_is_not_the_services_says_nothing(recorder: LatencyRecorder, body: bytes) -> None:
    recorder.record_sample(101.0, body)
    assert recorder.to_result(0.0, 0.0).served_by == {}


def test_a_server_that_invents_names_does_not_fill_the_memory(recorder: LatencyRecorder) -> None:
    for number in range(1000):
        recorder.record_sample(101.0, json.dumps({"served_by": f"model {number}"}).encode())
    served_by = recorder.to_result(0.0, 0.0).served_by
    assert len(served_by) == MOST_NAMES + 1
    assert sum(served_by.values()) == 1000
