"""Which responses count in the measured window."""

import json

import pytest

from app.bench.load.recorder import MAX_NAMES, LatencyRecorder

OPENS_AT, CLOSES_AT = 100.0, 110.0


@pytest.fixture
def recorder() -> LatencyRecorder:
    return LatencyRecorder(OPENS_AT, CLOSES_AT - OPENS_AT, capacity=100)


def test_warm_up_counts_only_in_all_responses(recorder: LatencyRecorder) -> None:
    recorder.record_response(98.0, 99.0, 200)
    recorder.record_response(98.0, 99.0, 500)
    recorder.record_failure(99.0, "timeout")
    recorder.record_sample(99.0, b'{"served_by": "model"}')
    result = recorder.to_result(0.0, 0.0)
    assert (result.ok_responses, len(result.latencies_s), result.errors, result.served_by) == (0, 0, 0, {})
    assert result.all_responses == 2


def test_response_counts_in_the_rate_if_it_arrives_in_the_window(recorder: LatencyRecorder) -> None:
    for sent_at, now in ((99.0, 101.0), (102.0, 103.0), (109.0, 111.0)):
        recorder.record_response(sent_at, now, 200)
    assert recorder.to_result(0.0, 0.0).ok_responses == 2


def test_latency_counts_if_its_request_is_sent_in_the_window(
    recorder: LatencyRecorder,
) -> None:
    for sent_at, now in ((99.0, 101.0), (102.0, 103.0), (109.0, 119.0)):
        recorder.record_response(sent_at, now, 200)
    assert recorder.to_result(0.0, 0.0).latencies_s.tolist() == [1.0, 10.0]


def test_other_statuses_are_errors_without_latency(recorder: LatencyRecorder) -> None:
    for status in (200, 503, 503, 422, 204):
        recorder.record_response(101.0, 102.0, status)
    result = recorder.to_result(0.0, 0.0)
    assert result.statuses == {503: 2, 422: 1, 204: 1}
    assert (result.ok_responses, len(result.latencies_s), result.errors) == (1, 1, 4)


def test_window_closes_when_the_latency_array_is_full() -> None:
    recorder = LatencyRecorder(OPENS_AT, CLOSES_AT - OPENS_AT, capacity=3)
    for second in range(5):
        recorder.record_response(OPENS_AT + second, OPENS_AT + second + 0.5, 200)
    result = recorder.to_result(0.0, 0.0)
    assert result.seconds == 2.5
    assert len(result.latencies_s) == 3
    assert result.ok_responses / result.seconds == pytest.approx(1.2), (
        "three in two and a half seconds, the third at its end"
    )


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b"\xff", b'{"served_by": 7}'])
def test_foreign_bodies_are_ignored(recorder: LatencyRecorder, body: bytes) -> None:
    recorder.record_sample(101.0, body)
    assert recorder.to_result(0.0, 0.0).served_by == {}


def test_number_of_distinct_names_is_bounded(recorder: LatencyRecorder) -> None:
    for number in range(1000):
        recorder.record_sample(101.0, json.dumps({"served_by": f"model {number}"}).encode())
    served_by = recorder.to_result(0.0, 0.0).served_by
    assert len(served_by) == MAX_NAMES + 1
    assert sum(served_by.values()) == 1000
