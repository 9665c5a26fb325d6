"""The shape of a log in a few numbers: lengths of histories, popularity of items, times and gaps.

All of it is counted in bins, from at most `MAX_EVENTS` events of evenly spaced users, so that it takes less than a
second and a few kilobytes for a log of any size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import Dataset
from models.data.sampling import sample_users
from models.evaluation.diversity import compute_gini
from models.evaluation.segments import classify_items
from models.times import FIRST_SECOND, LAST_SECOND

MAX_EVENTS = 2_000_000
LENGTH_STARTS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Smallest lengths of the bins of histories."""
POPULARITY_POINTS = 40
TIME_BINS = 32
GAP_STARTS = {
    "0 s": 0, "≤ 1 min": 1, "≤ 1 h": 61, "≤ 1 d": 3601, "≤ 7 d": 86_401, "≤ 30 d": 604_801, "≤ 1 y": 2_592_001,
    "> 1 y": 31_536_001,
}  # fmt: skip
"""Smallest seconds of the bins of gaps."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bin, and the quantiles of the values: the 10th, 50th and 90th percentile, and the maximum."""

    labels: list[str]
    counts: list[int]
    quantiles: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class LogProfile:
    """`popularity` has (rank, events) of a few ranks; fields of times are None for a log without real times."""

    num_sampled: int
    num_events: int
    lengths: Histogram
    popularity: list[tuple[int, int]]
    classes: dict[str, tuple[int, int]]
    """Items and training events of head, torso, tail and new items."""
    gini: float
    events_over_time: Histogram | None
    gaps: Histogram | None
    hours: Histogram | None


def profile_log(dataset: Dataset) -> LogProfile:
    """Count a dataset in bins."""
    num_events = len(dataset.items)
    sample = sample_users(dataset, max(1, dataset.num_users * MAX_EVENTS // max(1, num_events)))
    counts = dataset.catalogue.counts
    times = None if sample.times is None else sample.times.astype(np.int64)
    is_real = np.zeros(0, dtype=bool) if times is None else (times >= FIRST_SECOND) & (times <= LAST_SECOND)
    has_times = times is not None and bool(is_real.any())
    return LogProfile(
        len(sample.items),
        num_events,
        _count_lengths(np.diff(dataset.offsets)),
        _list_popularity(counts),
        _count_classes(counts),
        compute_gini(counts),
        _count_over_time(times[is_real]) if times is not None and has_times else None,
        _count_gaps(times, is_real, sample.offsets) if times is not None and has_times else None,
        _count_hours(times[is_real]) if times is not None and has_times else None,
    )


def _count_lengths(lengths: NDArray[np.int64]) -> Histogram:
    ends = [start - 1 for start in LENGTH_STARTS[1:]]
    labels = [f"{low}" if low == high else f"{low}-{high}" for low, high in zip(LENGTH_STARTS, ends, strict=False)]
    return _count_bins(lengths[lengths > 0], LENGTH_STARTS, [*labels, f"{LENGTH_STARTS[-1]}+"])


def _list_popularity(counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Events of the items at ranks that grow by a factor; items without events are left out."""
    num_items = int((counts > 0).sum())
    if not num_items:
        return []
    ranks = np.unique(np.geomspace(1, num_items, POPULARITY_POINTS).round().astype(np.int64))
    return [(int(rank), int(counts[rank - 1])) for rank in ranks]


def _count_classes(counts: NDArray[np.int64]) -> dict[str, tuple[int, int]]:
    classes = classify_items(counts)[1:]
    return {
        name: (int((classes == number).sum()), int(counts[classes == number].sum()))
        for number, name in enumerate(("head", "torso", "tail", "new"))
    }


def _count_over_time(times: NDArray[np.int64]) -> Histogram:
    first, last = int(times.min()), int(times.max())
    counts, edges = np.histogram(times, TIME_BINS if last > first else 1, (first, max(last, first + 1)))
    pattern = "%Y-%m-%d" if last - first > TIME_BINS * 86_400 / 2 else "%m-%d %H:%M"
    labels = [datetime.fromtimestamp(float(edge), UTC).strftime(pattern) for edge in edges[:-1]]
    return Histogram(labels, counts.tolist())


def _count_gaps(times: NDArray[np.int64], is_real: NDArray[np.bool_], offsets: NDArray[np.int64]) -> Histogram | None:
    """Count the times between two events of a user that follow each other."""
    is_pair = is_real[1:] & is_real[:-1]
    firsts = offsets[1:-1]
    is_pair[firsts[(firsts > 0) & (firsts < len(times))] - 1] = False
    gaps = np.diff(times)[is_pair]
    if not len(gaps):
        return None
    return _count_bins(np.maximum(0, gaps), tuple(GAP_STARTS.values()), list(GAP_STARTS))


def _count_hours(times: NDArray[np.int64]) -> Histogram:
    return Histogram([f"{hour:02}" for hour in range(24)], np.bincount(times // 3600 % 24, minlength=24).tolist())


def _count_bins(values: NDArray[np.int64], starts: Sequence[int], labels: list[str]) -> Histogram:
    counts = np.bincount(np.searchsorted(starts, values, side="right") - 1, minlength=len(labels))
    if not len(values):
        return Histogram(labels, counts.tolist())
    low, middle, high = np.percentile(values, [10, 50, 90])
    return Histogram(labels, counts.tolist(), (float(low), float(middle), float(high), float(values.max())))
