"""Arrival processes: closed loop (send when a connection is free) and open loop (send at scheduled times).

An open loop sends at its rate, independently of the server. A request that finds no free connection waits in a queue
and its latency counts from its scheduled time, which avoids coordinated omission: a stalled server is charged for the
requests that would have arrived during the stall. Times are `time.perf_counter()` seconds.
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
"""Timers tick in milliseconds: a request scheduled within half of one is sent now, and its latency counts from now."""
MAX_POLL_S = 0.05


class ScheduledRequest(NamedTuple):
    request: LoadRequest
    scheduled_at: float
    """Start of the latency measurement."""


class Sender(Protocol):
    """The part of a connection that arrival processes use."""

    def wake(self) -> None: ...

    def close(self) -> None: ...


class ArrivalProcess(Protocol):
    def next_request(self, sender: Sender, now: float) -> ScheduledRequest | None:
        """Return the request that a free connection sends now.

        None if there is none: the connection is woken for the next one, or closes if the process is finished.
        """

    def discard(self, sender: Sender) -> None:
        """Forget a closed connection, which cannot be woken."""

    def is_finished(self, now: float) -> bool: ...

    async def run(self) -> None: ...


class ClosedLoop:
    """Send the next request as soon as a connection is free."""

    def __init__(self, requests: Iterator[LoadRequest], recorder: LatencyRecorder) -> None:
        self._requests = requests
        self._recorder = recorder

    def next_request(self, sender: Sender, now: float) -> ScheduledRequest | None:  # noqa: ARG002
        return None if self.is_finished(now) else ScheduledRequest(next(self._requests), now)

    def discard(self, sender: Sender) -> None:
        """Do nothing: a closed loop wakes no connection."""

    def is_finished(self, now: float) -> bool:
        return now >= self._recorder.closes_at

    async def run(self) -> None:
        """Do nothing: connections request work themselves."""


class OpenLoop:
    """Poisson arrivals: independent callers with exponential gaps, `rate` requests per second, seeded by `seed`."""

    def __init__(
        self, requests: Iterator[LoadRequest], recorder: LatencyRecorder, *, rate: float, timeout_s: float, seed: int
    ) -> None:
        self._requests = requests
        self._recorder = recorder
        self._rate = rate
        self._timeout_s = timeout_s
        self._rng = random.Random(seed)  # noqa: S311 - load, not a secret
        self._waiting: deque[ScheduledRequest] = deque()
        self._idle: deque[Sender] = deque()  # first in, first out: uses all connections, and thus all workers
        self._all_scheduled = False

    def next_request(self, sender: Sender, now: float) -> ScheduledRequest | None:
        self._drop_timed_out(now)
        if self._waiting:
            return self._waiting.popleft()
        if not self._all_scheduled:
            self._idle.append(sender)
        return None

    def discard(self, sender: Sender) -> None:
        """Forget a closed connection, which cannot be woken."""
        if sender in self._idle:
            self._idle.remove(sender)

    def is_finished(self, now: float) -> bool:  # noqa: ARG002
        return self._all_scheduled and not self._waiting

    async def run(self) -> None:
        """Schedule requests until the window closes, then let waiting ones be sent or time out."""
        next_at = perf_counter()
        while next_at < self._recorder.closes_at:
            now = perf_counter()
            if next_at > now + EARLY_S:
                await asyncio.sleep(next_at - now)
                continue
            self._waiting.append(ScheduledRequest(next(self._requests), min(next_at, now)))
            if self._idle:
                self._idle.popleft().wake()
            next_at += self._rng.expovariate(self._rate)
        self._all_scheduled = True
        while self._waiting:
            await asyncio.sleep(min(MAX_POLL_S, self._timeout_s / 4))
            self._drop_timed_out(perf_counter())
        while self._idle:
            self._idle.popleft().close()

    def _drop_timed_out(self, now: float) -> None:
        while self._waiting and self._waiting[0].scheduled_at < now - self._timeout_s:
            self._waiting.popleft()
            self._recorder.record_failure(now, "timeout")
