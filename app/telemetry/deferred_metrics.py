"""Metrics of every request, kept aside as plain numbers and handed over to the library together.

The library locks and, with several processes, writes into a mapped file for each number: some 8 µs per request, and 25
with files, of 150. Kept in a list, a number costs a fraction of a microsecond; `flush_periodically` gives them on twice a
second, and whoever tells the metrics does so before. What waits is bounded by what a process answers in that time.
Handing over belongs to the event loop, as does counting; numbers may be observed in any
thread. It knows no metric by name.
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
    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._count = 0
        _all.append(self)

    def inc(self) -> None:
        self._count += 1

    def flush(self) -> None:
        if count := self._count:
            self._count -= count
            self._counter.inc(count)


class DeferredHistogram:
    """For one histogram without labels left to give; `count`, if there is one, goes up by one for each number."""

    observe: Callable[[float], None]

    def __init__(self, histogram: Histogram, count: Counter | None = None) -> None:
        self._histogram: Any = histogram  # which can take only one number at a time, but for what it keeps inside
        self._bounds = np.array(self._histogram._upper_bounds)
        self._count = count
        self._values: list[float] = []
        self.observe = self._values.append  # one step of the interpreter, and so right from any thread
        _all.append(self)

    def flush(self) -> None:
        values = self._values[:]
        if not values:
            return
        del self._values[: len(values)]  # and not those that came meanwhile
        for bucket, count in enumerate(np.bincount(np.searchsorted(self._bounds, values)).tolist()):
            if count:
                self._histogram._buckets[bucket].inc(count)
        self._histogram._sum.inc(sum(values))
        if self._count is not None:
            self._count.inc(len(values))


def flush() -> None:
    """Whatever was counted until now is told from here on."""
    for one in _all:
        one.flush()


@asynccontextmanager
async def flush_periodically() -> AsyncIterator[None]:
    """Every `FLUSH_INTERVAL_S` until the block ends, and then once more."""

    async def step() -> None:
        flush()

    try:
        async with run_periodically(step, every_s=FLUSH_INTERVAL_S, name="metrics flush"):
            yield
    finally:
        flush()
