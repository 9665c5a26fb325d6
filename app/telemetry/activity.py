"""Activity of the service in the last five minutes: requests, latencies, sources of answers and batches, per 5 s.

Each process adds what its own metrics counted to a row of the current interval, once a second. With several processes,
each writes its rows into a file next to the shared metrics, and any process can add up the rows of all. So the history
exists before the first watcher, and a second costs a process some 0.05 ms.
"""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.runtime.periodic import run_periodically
from app.telemetry.dead_processes import is_of_dead_process
from app.telemetry.deferred_metrics import flush, list_counters, list_histograms
from app.telemetry.metrics import BATCH_SIZE, LATENCY_BUCKETS, MULTIPROCESS

INTERVAL_S = 5
NUM_INTERVALS = 60
NUM_SLOTS = 64
"""Rows of a file; the row of an interval is at its number modulo this."""
RECORD_EVERY_S = 1.0
PREFIX, SUFFIX = "activity_", ".rows"
COUNTED_ROUTES = ("/recommend", "/similar", "/events", "/users", "/items")
"""Requests count whose route begins with one of these: those of users of the service, not of its operators."""
LATENCY_ROUTE = "/recommend"
SOURCES = ("model", "cache", "neighbours", "popularity")

Row = NDArray[np.float64]


class Counts(NamedTuple):
    """Counts of one interval, or of all of them: a number or an array each."""

    requests: Row
    answers: Row
    """By SOURCES."""
    batches: Row
    batched_queries: Row
    latencies: Row
    """Requests to LATENCY_ROUTE by the buckets of LATENCY_BUCKETS and one behind them."""

    @classmethod
    def from_rows(cls, rows: Row) -> "Counts":
        """(…, WIDTH)"""
        first = 1 + len(SOURCES)
        return cls(rows[..., 0], rows[..., 1:first], rows[..., first], rows[..., first + 1], rows[..., first + 2 :])


WIDTH = 1 + len(SOURCES) + 2 + len(LATENCY_BUCKETS) + 1


class Activity(NamedTuple):
    """Counts of the last intervals, the current one last; `is_covered` says where a process has recorded."""

    ends: Row
    """Ends of the intervals, in Unix seconds."""
    rows: Row
    """(NUM_INTERVALS + 1, WIDTH)"""
    is_covered: NDArray[np.bool_]


def count_metrics() -> Row:
    """Count since the process began, as a row."""
    row = np.zeros(WIDTH)
    counts = Counts.from_rows(row)
    for histogram in list_histograms("http"):
        route = histogram.labels[0]
        if route.startswith(COUNTED_ROUTES):
            row[0] += histogram.bucket_counts.sum()
        if route == LATENCY_ROUTE:
            counts.latencies[:] += histogram.bucket_counts
    for counter in list_counters("recommendations"):
        counts.answers[SOURCES.index(counter.labels[0])] += counter.total
    first = 1 + len(SOURCES)
    row[first : first + 2] = BATCH_SIZE.bucket_counts.sum(), BATCH_SIZE.total
    return row


class ActivityRecorder:
    """Records the activity of this process, and adds up that of all. Recording belongs to the event loop."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        count: Callable[[], Row] = count_metrics,
        clock: Callable[[], float] = time.time,
        process_id: int | None = None,
    ) -> None:
        """Without `folder`, there is no other process."""
        self._folder, self._count, self._clock = folder, count, clock
        self._rows = np.zeros((NUM_SLOTS, 1 + WIDTH))
        """The number of the interval, and its counts."""
        self._counts = count()
        self._path = None if folder is None else folder / f"{PREFIX}{process_id or os.getpid()}{SUFFIX}"
        if folder is not None:
            _remove_old_files(folder, clock())

    def record(self) -> None:
        """Add what was counted since the last call to the current interval."""
        number = int(self._clock() // INTERVAL_S)
        counts = self._count()
        row = self._rows[number % NUM_SLOTS]
        if row[0] != number:
            row[:] = 0
            row[0] = number
        row[1:] += counts - self._counts
        self._counts = counts
        if self._path is not None:
            _write(self._path, row.tobytes(), number % NUM_SLOTS * row.nbytes)

    def read(self) -> Activity:
        """Add up the rows of all processes; in any thread."""
        newest = int(self._clock() // INTERVAL_S)
        first = newest - NUM_INTERVALS
        total = np.zeros((NUM_INTERVALS + 1, WIDTH))
        is_covered = np.zeros(NUM_INTERVALS + 1, dtype=bool)
        for rows in self._read_all():
            recent = rows[(rows[:, 0] >= first) & (rows[:, 0] <= newest)]
            positions = recent[:, 0].astype(np.int64) - first
            total[positions] += recent[:, 1:]
            is_covered[positions] = True
        ends = np.arange(first + 1, newest + 2, dtype=np.float64) * INTERVAL_S
        return Activity(ends, total, is_covered)

    def _read_all(self) -> list[Row]:
        if self._folder is None:
            return [self._rows.copy()]
        return [_read(path) for path in self._folder.glob(f"{PREFIX}*{SUFFIX}")]


@asynccontextmanager
async def record_activity() -> AsyncIterator[ActivityRecorder]:
    """Record every second until the block ends."""
    recorder = ActivityRecorder(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]) if MULTIPROCESS else None)

    async def record() -> None:
        flush()
        recorder.record()

    async with run_periodically(record, every_s=RECORD_EVERY_S, name="activity", starts_immediately=True):
        yield recorder


def _write(path: Path, row: bytes, offset: int) -> None:
    """Write a row in place, all of it in one call; a full disk costs only this history."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, row, offset)
        finally:
            os.close(descriptor)


def _read(path: Path) -> Row:
    """(rows, 1 + WIDTH); none from a file that is not there any more."""
    try:
        content = path.read_bytes()
    except OSError:
        return np.zeros((0, 1 + WIDTH))
    row_bytes = 8 * (1 + WIDTH)
    return np.frombuffer(content[: len(content) // row_bytes * row_bytes]).reshape(-1, 1 + WIDTH)


def _remove_old_files(folder: Path, now: float) -> None:
    """Remove files of processes that ended before the last five minutes, so that restarts leave none behind."""
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):
            if now - path.stat().st_mtime > (NUM_INTERVALS + 1) * INTERVAL_S and is_of_dead_process(path):
                path.unlink()
