"""The figures of a report, against numpy, and what makes a benchmark pass."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bench.serve.report import (
    ServerSummary,
    figures,
    find_missed_targets,
    format_machine_line,
    format_remarks,
    summarize_rounds,
    table,
)
from app.bench.serve.rounds import Round
from service_tests.app.bench.serve.tallies import tally

LATENCIES = st.lists(st.floats(0.0001, 10), min_size=1, max_size=50)


def summary(
    name: str = "recommend",
    answered: int = 100,
    statuses: dict[int, int] | None = None,
    failures: dict[str, int] | None = None,
) -> ServerSummary:
    latencies_s = np.array([0.01, 0.03])
    one = tally(answered, latencies_s=latencies_s, statuses=statuses, failures=failures)
    return summarize_rounds(name, [Round(one, 0.5)])


@given(rounds=st.lists(LATENCIES, min_size=1, max_size=4))
def test_percentiles_are_the_median_over_the_rounds_of_numpys(rounds: list[list[float]]) -> None:
    one = summarize_rounds("echo", [Round(tally(latencies_s=np.array(latencies)), None) for latencies in rounds])
    for q in (50, 90, 99):
        expected = np.median([np.percentile(latencies, q) for latencies in rounds])
        assert one.percentiles_ms[q] == pytest.approx(1000 * expected)
    assert one.max_ms == pytest.approx(1000 * max(map(max, rounds)))


def test_a_round_in_a_bad_minute_does_not_move_the_rate() -> None:
    rounds = [Round(tally(count, seconds=2.0), None) for count in (200, 2, 220)]
    one = summarize_rounds("echo", rounds)
    assert (one.rps, one.rounds_rps) == (100.0, [100.0, 1.0, 110.0])


def test_errors_of_all_rounds_are_added() -> None:
    rounds = [Round(tally(statuses={503: 2}, failures={"timeout": 1}), None), Round(tally(statuses={503: 3}), None)]
    one = summarize_rounds("recommend", rounds)
    assert one.errors == {"status 503": 5, "timeout": 1}
    assert one.error_count == 6


def test_cpu_time_is_told_per_answer() -> None:
    one = summarize_rounds("echo", [Round(tally(1000, cpu_s=0.01), 0.2)])
    assert (one.server_cpu_us, one.generator_cpu_us, one.generator_busy) == (200.0, 10.0, 0.01)


def test_served_by_is_told_as_shares() -> None:
    rounds = [Round(tally(served_by={"model": 5, "cache": 1}), None), Round(tally(served_by={"model": 4}), None)]
    assert summarize_rounds("recommend", rounds).served_by == {"model": 0.9, "cache": 0.1}


def test_a_server_without_one_good_answer_has_a_table_and_figures_all_the_same() -> None:
    dead = summarize_rounds("recommend", [Round(tally(0, failures={"refused": 9}), None)])
    echo = summary("echo")
    assert "recommend" in table([dead, echo])
    assert any("9 refused" in line for line in format_remarks(dead, echo))
    found = json.loads(json.dumps(figures({"recommend": dead, "echo": echo, "generator": echo})))
    assert found["recommend_p99_ms"] is None
    assert found["recommend_errors"] == 9


def test_figures_are_flat_and_the_ratio_is_recommend_over_echo() -> None:
    generator = summary("generator", 1000)
    found = figures({"recommend": summary(answered=50), "echo": summary("echo", 100), "generator": generator})
    assert found["ratio"] == 0.5
    assert found["recommend_rps"] == 50.0
    assert found["recommend_p50_ms"] == 20.0
    assert found["echo_rps_rounds"] == [100.0]


def test_what_passes_and_what_does_not() -> None:
    good, echo = summary(), summary("echo")
    assert find_missed_targets(good, echo, None, None) == []
    assert find_missed_targets(good, echo, 100.0, 30.0) == []
    assert find_missed_targets(good, echo, 100.1, None) == ["100 req/s are below 100"]
    assert find_missed_targets(good, echo, None, 29.0) == ["p99 of 29.8 ms is above 29.0 ms"]
    assert find_missed_targets(summary(statuses={422: 1}), echo, None, None) == ["1 errors from recommend"]
    assert find_missed_targets(good, summary("echo", failures={"timeout": 2}), None, None) == ["2 errors from echo"]
    assert find_missed_targets(good, summary("echo", 0), None, None) == ["no answer from echo"]


def test_the_table_has_a_line_per_server_and_columns_that_align() -> None:
    lines = table([summary(), summary("echo", 12345)]).splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert "12,345" in lines[2]


def test_the_machine_is_told() -> None:
    assert "3 torch threads" in format_machine_line(3)
