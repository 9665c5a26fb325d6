"""Metrics of the request path: numbers are buffered and passed to prometheus_client together.

For each number the library takes a lock and, with several processes, writes into a memory-mapped file: about 8 of the
150 µs of a request, or 25 with files. Appending to a list costs a fraction of a microsecond; `flush_periodically`
passes the numbers on twice a second, and `render_metrics` flushes before every scrape. The buffer is bounded by the
number of requests between two flushes. Flushing and counting belong to the event loop; any thread may observe.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from prometheus_client import Counter, Histogram

from app.runtime.periodic import run_periodically

FLUSH_INTERVAL_S = 0.5
_all: list["DeferredHistogram | DeferredCounter"] = []


class DeferredCounter:
    def __init__(self, counter: Counter, *, family: str = "", labels: tuple[str, ...] = ()) -> None:
        """`family` and `labels` are for `list_counters`."""
        self.family, self.labels = family, labels
        self._counter = counter
        self._count = 0
        self.total = 0
        """Increments that were flushed since the process began."""
        _all.append(self)

    def increment(self) -> None:
        self._count += 1

    def flush(self) -> None:
        if count := self._count:
            self._count -= count
            self.total += count
            self._counter.inc(count)


class DeferredHistogram:
    """Buffers for one histogram whose labels are set; `count`, if given, is incremented once per number."""

    observe: Callable[[float], None]

    def __init__(
        self,
        histogram: Histogram,
        count: Counter | None = None,
        *,
        family: str = "",
        labels: tuple[str, ...] = (),
    ) -> None:
        """`family` and `labels` are for `list_histograms`."""
        self.family, self.labels = family, labels
        self._histogram: Any = histogram  # its public method takes one number at a time, so `flush` uses its internals
        self._bounds = np.array(self._histogram._upper_bounds)
        self._count = count
        self._values: list[float] = []
        self.observe = self._values.append  # atomic under the GIL, so any thread may call it
        self.bucket_counts = np.zeros(len(self._bounds), dtype=np.int64)
        """Numbers that were flushed since the process began, by bucket; `total` is their sum."""
        self.total = 0.0
        _all.append(self)

    def flush(self) -> None:
        values = self._values[:]
        if not values:
            return
        del self._values[: len(values)]  # keeps the values that arrived since the copy
        counts = np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._bounds))
        for bucket, count in enumerate(counts.tolist()):
            if count:
                self._histogram._buckets[bucket].inc(count)
        total = sum(values)
        self._histogram._sum.inc(total)
        self.bucket_counts += counts
        self.total += total
        if self._count is not None:
            self._count.inc(len(values))


def list_counters(family: str) -> list[DeferredCounter]:
    return [metric for metric in _all if isinstance(metric, DeferredCounter) and metric.family == family]


def list_histograms(family: str) -> list[DeferredHistogram]:
    return [metric for metric in _all if isinstance(metric, DeferredHistogram) and metric.family == family]


def flush() -> None:
    """Flush all buffered numbers to prometheus_client."""
    for metric in _all:
        metric.flush()


@asynccontextmanager
async def flush_periodically() -> AsyncIterator[None]:
    """Flush every `FLUSH_INTERVAL_S` until the block ends, and then once more."""

    async def flush_all() -> None:
        flush()

    try:
        async with run_periodically(flush_all, every_s=FLUSH_INTERVAL_S, name="metrics flush"):
            yield
    finally:
        flush()
