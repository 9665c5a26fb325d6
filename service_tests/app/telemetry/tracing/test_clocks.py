"""Two clocks are read at one moment, even if the thread is interrupted between the reads."""

import time
from itertools import chain, repeat

import pytest

from app.telemetry.tracing import spans


def set_performance_counter(monkeypatch: pytest.MonkeyPatch, interruptions: list[float]) -> None:
    """Let each pair of readings of the performance counter be interrupted for so many seconds, later ones for none."""
    readings = chain.from_iterable(
        (10.0 + n, 10.0 + n + gap) for n, gap in enumerate(chain(interruptions, repeat(0.0)))
    )
    monkeypatch.setattr(time, "perf_counter", lambda: next(readings))


def test_interrupted_reading_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    set_performance_counter(monkeypatch, [0.5, 0.002])
    monkeypatch.setattr(time, "time_ns", iter((1, 2, 3)).__next__)
    assert spans.read_clocks() == (3, 12.0)


def test_number_of_readings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    set_performance_counter(monkeypatch, [0.5] * 100)
    before = time.time_ns()
    wall_ns, seconds = spans.read_clocks()
    assert before <= wall_ns <= time.time_ns()
    assert seconds == 10 + spans.MAX_CLOCK_READS - 1 + 0.25
