"""Measures the longest step of an event loop in CPU time, which other processes of a busy machine do not lengthen."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class LongestStep:
    """CPU seconds of the longest step of the event loop; another request waits for at most one step."""

    seconds: float = 0.0


@contextmanager
def measure_longest_step() -> Iterator[LongestStep]:
    """Measure the steps of the running event loop, which is busy while the block runs."""
    longest = LongestStep()
    loop = asyncio.get_running_loop()
    started_at = time.thread_time()
    handle: asyncio.Handle

    def end_step() -> None:
        nonlocal started_at, handle
        now = time.thread_time()
        longest.seconds = max(longest.seconds, now - started_at)
        started_at = now
        handle = loop.call_soon(end_step)

    handle = loop.call_soon(end_step)
    try:
        yield longest
    finally:
        handle.cancel()
