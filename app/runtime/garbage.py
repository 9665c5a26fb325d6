"""Garbage collection of a serving process, by time and growth instead of by allocations.

Reference counts free almost all objects of a request. Python nevertheless collects after every few hundred allocations,
and traverses the objects of all open connections more than once a second: with 2,000 connections that took 10 to 17 %
of a loaded process, in pauses of up to 90 ms (docs/benchmarks/faults.md).
"""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.runtime.periodic import run_periodically

CHECK_S = 1.0
INTERVAL_S = 15.0
MAX_GROWTH = 100_000
"""Containers that may be allocated, less those that are freed, before a collection: some 20 MB."""


@asynccontextmanager
async def collect_garbage_rarely(
    *, check_s: float = CHECK_S, interval_s: float = INTERVAL_S, max_growth: int = MAX_GROWTH
) -> AsyncIterator[None]:
    """Until the block ends, collect every `interval_s` seconds, and earlier after a growth by `max_growth` containers.

    All objects that exist before are excluded: traversing modules, model and catalogue would stop requests for 0.1 s.
    """
    num_checks = 0

    async def collect_if_due() -> None:
        nonlocal num_checks
        num_checks += 1
        if gc.get_count()[0] >= max_growth or num_checks * check_s >= interval_s:
            num_checks = 0
            gc.collect()

    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        async with run_periodically(collect_if_due, every_s=check_s, name="garbage collection"):
            yield
    finally:
        gc.enable()
        gc.unfreeze()
