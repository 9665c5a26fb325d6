"""Interleaved rounds and median timings."""

from functools import partial

from models.benchmarks.timing import measure_median_seconds, run_interleaved


def test_runs_are_interleaved_and_results_grouped_by_name() -> None:
    calls: list[str] = []
    reported: list[str] = []

    def record_call(name: str) -> int:
        calls.append(name)
        return len(calls)

    runs = {name: partial(record_call, name) for name in "ab"}
    results = run_interleaved(runs, 2, lambda name, result: reported.append(f"{name}{result}"))
    assert calls == ["a", "b", "a", "b"]
    assert results == {"a": [1, 3], "b": [2, 4]}
    assert reported == ["a1", "b2", "a3", "b4"]


def test_median_excludes_warm_ups_and_includes_synchronization() -> None:
    calls: list[str] = []
    times = iter([0.0, 1.0, 10.0, 15.0, 20.0, 22.0])
    seconds = measure_median_seconds(
        lambda: calls.append("call"),
        rounds=3,
        warm_ups=2,
        clock=lambda: next(times),
        synchronize=lambda: calls.append("wait"),
    )
    assert seconds == 2.0
    assert calls == ["call", "call", "wait", *["call", "wait"] * 3]


def test_median_measures_at_least_one_round_beyond_its_budget() -> None:
    calls: list[None] = []
    measure_median_seconds(lambda: calls.append(None), rounds=5, warm_ups=2, budget_s=0.0)
    assert len(calls) == 3
