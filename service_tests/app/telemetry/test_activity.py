"""Activity of the last minutes: what all processes counted, by intervals, across restarts and clocks."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telemetry.activity import INTERVAL_S, NUM_INTERVALS, WIDTH, ActivityRecorder, Counts

START_S = 1_700_000_000.0
DEAD_PROCESS = 2**22 + 1
"""Larger than any process id of Linux."""


class Process:
    """A process whose counts and clock the test sets."""

    def __init__(self, folder: Path | None, process_id: int) -> None:
        self.now = START_S
        self.requests = 1000
        self.recorder = ActivityRecorder(folder, count=self.make_row, clock=lambda: self.now, process_id=process_id)

    def make_row(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        row = np.zeros(WIDTH)
        row[0] = self.requests
        return row

    def count(self, now: float, requests: int) -> None:
        self.now = now
        self.requests += requests
        self.recorder.record()


def read_requests(process: Process, now: float) -> list[float]:
    process.now = now
    requests: list[float] = Counts.from_rows(process.recorder.read().rows).requests.tolist()
    return requests


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2 * NUM_INTERVALS * INTERVAL_S), st.integers(0, 9))))
def test_intervals_have_the_sums_of_all_processes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    processes = [Process(folder, number) for number in range(1, 4)]
    now, expected = START_S, dict[int, int]()
    for position, seconds, requests in steps:
        now += seconds
        processes[position].count(now, requests)
        number = int(now // INTERVAL_S)
        expected[number] = expected.get(number, 0) + requests
    newest = int(now // INTERVAL_S)
    window = [expected.get(number, 0) for number in range(newest - NUM_INTERVALS, newest + 1)]
    assert [read_requests(process, now) for process in processes] == [window] * 3
    covered = [number in expected for number in range(newest - NUM_INTERVALS, newest + 1)]
    assert processes[0].recorder.read().is_covered.tolist() == covered


def test_counts_of_an_ended_process_stay_for_five_minutes(tmp_path: Path) -> None:
    Process(tmp_path, DEAD_PROCESS).count(START_S, 7)
    (file,) = tmp_path.iterdir()
    os.utime(file, (START_S, START_S))
    assert sum(read_requests(Process(tmp_path, 1), START_S + 60)) == 7
    late = START_S + 2 * NUM_INTERVALS * INTERVAL_S
    os.utime(file, (START_S, START_S))
    ActivityRecorder(tmp_path, count=lambda: np.zeros(WIDTH), clock=lambda: late)
    assert not file.exists()


def test_damaged_file_harms_no_other_process(tmp_path: Path) -> None:
    process = Process(tmp_path, 1)
    process.count(START_S, 3)
    (tmp_path / "activity_2.rows").write_bytes(b"\xff" * 1003)
    assert sum(read_requests(process, START_S)) == 3
    assert sum(read_requests(Process(None, 3), START_S)) == 0
