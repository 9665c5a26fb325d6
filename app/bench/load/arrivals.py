"""When a request is due: as soon as a connection is free (closed loop), or at its own time (open loop).

An open loop sends at a rate whatever the server does. A request that finds no free connection waits in line, and its
latency counts from the time at which it was due: a server that stands still is not spared the requests that would have
come meanwhile. It knows no socket; times are `time.perf_counter()` seconds.
"""

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from time import perf_counter
from typing import NamedTuple, Protocol

from app.bench.load.recorder import LatencyRecorder
from app.bench.load.requests import LoadRequest

EARLY_S = 0.0005
"""Timers tick in milliseconds: a request due within half of one goes out now, and counts from now."""


class ScheduledRequest(NamedTuple):
    request: LoadRequest
    scheduled_at: float
    """What the latency counts from."""


class Sender(Protocol):
    """A connection, as far as arrivals know it."""

    def wake(self) -> None: ...

    def close(self) -> None: ...


class ArrivalProcess(Protocol):
    def next_request(self, sender: Sender, now: float) -> ScheduledRequest | None:
        """What a free connection sends now; None: nothing, it is woken when there is, or closes if that is over."""

    def discard(self, sender: Sender) -> None:
        """A connection was closed, and cannot be woken."""

    def is_finished(self, now: float) -> bool: ...

    async def run(self) -> None: ...


class ClosedLoop:
    def __init__(self, requests: Iterator[LoadRequest], recorder: LatencyRecorder) -> None:
        self._requests = requests
        self._recorder = recorder

    def next_request(self, sender: Sender, now: float) -> ScheduledRequest | None:  # noqa: ARG002
        return None if self.is_finished(now) else ScheduledRequest(next(self._requests), now)

    def discard(self, sender: Sender) -> None:
        """Nothing: nobody is woken."""

    def is_finished(self, now: float) -> bool:
        return now >= self._recorder.closes_at

    async def run(self) -> None:
        """Nothing: connections ask by themselves."""


class OpenLoop:
    """Independent callers: gaps between requests are exponential, `rate` of them per second, sample_by_weight by `seed`."""

    def __init__(
        self, requests: Iterator[LoadRequest], recorder: LatencyRecorder, *, rate: float, timeout_s: float, seed: int
    ) -> None:
        self._requests = requests
        self._recorder = recorder
        self._rate = rate
        self._timeout_s = timeout_s
        self._rng = random.Random(seed)  # noqa: S311 - load, not a secret
        self._waiting: deque[ScheduledRequest] = deque()
        self._idle: deque[Sender] = deque()  # first in, first out: every connection is used, so every worker is
        self._all_sent = False

    def next_request(self, sender: Sender, now: float) -> ScheduledRequest | None:
        self._drop_late(now)
        if self._waiting:
            return self._waiting.popleft()
        if not self._all_sent:
            self._idle.append(sender)
        return None

    def discard(self, sender: Sender) -> None:
        """A connection that was closed cannot be woken."""
        if sender in self._idle:
            self._idle.remove(sender)

    def is_finished(self, now: float) -> bool:  # noqa: ARG002
        return self._all_sent and not self._waiting

    async def run(self) -> None:
        due = perf_counter()
        while due < self._recorder.closes_at:
            now = perf_counter()
            if due > now + EARLY_S:
                await asyncio.sleep(due - now)
                continue
            self._waiting.append(ScheduledRequest(next(self._requests), min(due, now)))
            if self._idle:
                self._idle.popleft().wake()
            due += self._rng.expovariate(self._rate)
        self._all_sent = True
        while self._waiting:
            await asyncio.sleep(min(0.05, self._timeout_s / 4))
            self._drop_late(perf_counter())
        while self._idle:
            self._idle.popleft().close()

    def _drop_late(self, now: float) -> None:
        while self._waiting and self._waiting[0].scheduled_at < now - self._timeout_s:
            self._waiting.popleft()
            self._recorder.record_failure(now, "timeout")
