"""Summaries of a serving benchmark compared with numpy, its JSON object, and its pass criteria."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bench.serve.report import (
    ServerSummary,
    build_result,
    find_missed_targets,
    format_machine_line,
    format_remarks,
    format_rounds_table,
    summarize_rounds,
)
from app.bench.serve.rounds import Round
from service_tests.app.bench.load.load_results import make_result

LATENCIES = st.lists(st.floats(0.0001, 10), min_size=1, max_size=50)


def make_summary(
    name: str = "recommend",
    ok_responses: int = 100,
    statuses: dict[int, int] | None = None,
    failures: dict[str, int] | None = None,
) -> ServerSummary:
    latencies_s = np.array([0.01, 0.03])
    result = make_result(ok_responses, latencies_s=latencies_s, statuses=statuses, failures=failures)
    return summarize_rounds(name, [Round(result, 0.5)])


@given(rounds=st.lists(LATENCIES, min_size=1, max_size=4))
def test_percentiles_are_medians_of_numpy_percentiles_over_rounds(rounds: list[list[float]]) -> None:
    summary = summarize_rounds(
        "echo", [Round(make_result(latencies_s=np.array(latencies)), None) for latencies in rounds]
    )
    for q in (50, 90, 99):
        expected = np.median([np.percentile(latencies, q) for latencies in rounds])
        assert summary.percentiles_ms[q] == pytest.approx(1000 * expected)
    assert summary.max_ms == pytest.approx(1000 * max(map(max, rounds)))


def test_slow_round_does_not_change_the_median_rate() -> None:
    rounds = [Round(make_result(count, seconds=2.0), None) for count in (200, 2, 220)]
    summary = summarize_rounds("echo", rounds)
    assert (summary.rps, summary.rounds_rps) == (100.0, [100.0, 1.0, 110.0])


def test_errors_of_all_rounds_are_summed() -> None:
    rounds = [
        Round(make_result(statuses={503: 2}, failures={"timeout": 1}), None),
        Round(make_result(statuses={503: 3}), None),
    ]
    summary = summarize_rounds("recommend", rounds)
    assert summary.errors == {"status 503": 5, "timeout": 1}
    assert summary.error_count == 6


def test_cpu_time_is_per_response() -> None:
    summary = summarize_rounds("echo", [Round(make_result(1000, cpu_s=0.01), 0.2)])
    assert (summary.server_cpu_us, summary.generator_cpu_us, summary.generator_busy) == (200.0, 10.0, 0.01)


def test_served_by_is_reported_as_shares() -> None:
    rounds = [
        Round(make_result(served_by={"model": 5, "cache": 1}), None),
        Round(make_result(served_by={"model": 4}), None),
    ]
    assert summarize_rounds("recommend", rounds).served_by == {"model": 0.9, "cache": 0.1}


def test_server_without_successful_responses_is_reported() -> None:
    failing = summarize_rounds("recommend", [Round(make_result(0, failures={"refused": 9}), None)])
    echo = make_summary("echo")
    assert "recommend" in format_rounds_table([failing, echo])
    assert any("9 refused" in line for line in format_remarks(failing, echo))
    result = json.loads(json.dumps(build_result({"recommend": failing, "echo": echo, "generator": echo})))
    assert result["recommend_p99_ms"] is None
    assert result["recommend_errors"] == 9


def test_result_is_flat_and_its_ratio_is_recommend_over_echo() -> None:
    generator = make_summary("generator", 1000)
    result = build_result(
        {"recommend": make_summary(ok_responses=50), "echo": make_summary("echo", 100), "generator": generator}
    )
    assert result["ratio"] == 0.5
    assert result["recommend_rps"] == 50.0
    assert result["recommend_p50_ms"] == 20.0
    assert result["echo_rps_rounds"] == [100.0]


def test_missed_targets_are_listed() -> None:
    passing, echo = make_summary(), make_summary("echo")
    assert find_missed_targets(passing, echo, None, None) == []
    assert find_missed_targets(passing, echo, 100.0, 30.0) == []
    assert find_missed_targets(passing, echo, 100.1, None) == ["100 req/s are below 100"]
    assert find_missed_targets(passing, echo, None, 29.0) == ["p99 of 29.8 ms is above 29.0 ms"]
    assert find_missed_targets(make_summary(statuses={422: 1}), echo, None, None) == ["1 errors from recommend"]
    assert find_missed_targets(passing, make_summary("echo", failures={"timeout": 2}), None, None) == [
        "2 errors from echo"
    ]
    assert find_missed_targets(passing, make_summary("echo", 0), None, None) == ["no response from echo"]


def test_table_has_a_line_per_server_with_aligned_columns() -> None:
    lines = format_rounds_table([make_summary(), make_summary("echo", 12345)]).splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert "12,345" in lines[2]


def test_machine_line_contains_torch_threads() -> None:
    assert "3 torch threads" in format_machine_line(3)
