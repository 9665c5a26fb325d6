"""Refuses recommendations before they are parsed while the event loop cannot keep up.

The batcher sheds load of the model, but every request that it sheds has already cost the event loop most of the work
of an answer. Beyond the capacity of the loop, requests pile up in it until all of them miss their deadline. The gate
measures how late the loop is and bounds the requests in progress by additive increase and multiplicative decrease;
those beyond the bound are answered 503 from prepared bytes, for a few percent of the work of an answer.

A store or a model that is slow does not close the gate: then the loop is on time.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Overloaded
from app.http.problems import build_error_response
from app.http.raw_responses import encode_raw_response
from app.runtime.random_ids import generate_id
from app.settings import Settings
from app.telemetry.deferred_metrics import DeferredCounter
from app.telemetry.metrics import REJECTED, get_request_histogram

TICK_S = 0.02
LATE_S, ON_TIME_S = 0.03, 0.015
"""Lateness of the loop beyond which the bound falls, and below which it rises."""
MIN_IN_PROGRESS = 48
"""Fewer requests would make batches smaller, and so the service slower."""
DECREASE, INCREASE, RELAXATION = 0.9, 2.0, 1.1
TARGET_S = 0.045
"""Time for which a request should be in progress while others are refused.

The lateness of the loop hardly depends on the number of requests that wait in it, so that alone lets hundreds wait.
With more time batches are larger and turns of the loop longer: more answers, and slower refusals (ADR-0063).
"""
RATE_SHARE = 0.125
"""Share of the newest tick in the mean rate of admitted requests."""
BUSY_SHARE = 0.8
"""CPU time of the loop's thread per second from which the loop, and not a slow store or model, is the bottleneck."""
MAX_LIMIT = 10_000
MAX_HEADS = 256
"""Heads of refused requests that are remembered with the length of their body; most clients repeat theirs."""
DETAIL = "the service is overloaded; retry later"
NOT_PLAIN = -(1 << 40)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,7})(?=\r\n)", re.IGNORECASE)
_ANY_LENGTH = re.compile(rb"\r\ncontent-length", re.IGNORECASE)
_UNUSUAL = re.compile(rb"\r\n(?:transfer-encoding|connection|expect|upgrade|x-request-id):", re.IGNORECASE)


class OverloadGate:
    """One per process. `limit` is infinite while the event loop is on time."""

    def __init__(self, settings: Settings) -> None:
        self.limit = float("inf")
        self._is_refusing = False
        self._lateness_s = 0.0
        self._prefixes = tuple({f"POST {root}/recommend HTTP/1.1\r\n".encode() for root in ("", settings.root_path)})
        self._rejected = DeferredCounter(REJECTED.labels("overloaded"))
        self._response_parts = _build_response_parts()
        self._in_progress = self._admitted = 0
        self._rate = self._busy_share = 0.0
        self._lengths: dict[bytes, int] = {}

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Measure the lateness of the event loop until the block ends."""
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle
        cpu_s = time.thread_time()

        def tick() -> None:
            nonlocal handle, cpu_s
            lateness_s, now_cpu_s = loop.time() - handle.when(), time.thread_time()
            self.observe(lateness_s, (now_cpu_s - cpu_s) / (TICK_S + lateness_s))
            cpu_s = now_cpu_s
            handle = loop.call_later(TICK_S, tick)

        handle = loop.call_later(TICK_S, tick)
        try:
            yield
        finally:
            handle.cancel()

    def observe(self, lateness_s: float, busy_share: float) -> None:
        """Adapt the bound to the lateness of a tick, and to the CPU time that the loop took per second of it.

        A busy loop is bounded by the rate of admitted requests as well; a loop that waits for a slow store or model is
        not, because that would keep the gate closed although the loop has time for more requests.
        """
        self._busy_share += (busy_share - self._busy_share) / 2
        self._rate += RATE_SHARE * (self._admitted / (TICK_S + max(0.0, lateness_s)) - self._rate)
        self._admitted = 0
        self._lateness_s += (lateness_s - self._lateness_s) / 2
        if self._lateness_s > LATE_S:
            self.limit = max(MIN_IN_PROGRESS, DECREASE * min(self.limit, self._in_progress))
        elif self._lateness_s < ON_TIME_S:
            self.limit = self.limit + INCREASE if self._is_refusing else RELAXATION * self.limit
            if self.limit > MAX_LIMIT:
                self.limit = float("inf")
        if self._is_refusing and self._busy_share > BUSY_SHARE:
            self.limit = min(self.limit, max(MIN_IN_PROGRESS, TARGET_S * self._rate))
        self._is_refusing = False

    def refuse(self, data: bytes, in_progress: int) -> bytes | None:
        """Return the response to a request that is refused; None if it must be handled as usual.

        Only a whole plain request for one recommendation is refused; `data` are all bytes that the client has sent.
        """
        self._in_progress = in_progress
        if in_progress < self.limit or not data.startswith(self._prefixes):
            self._admitted += 1
            return None
        end = data.find(b"\r\n\r\n")
        if end + 4 + self._find_length(data[:end]) != len(data):
            return None
        self._is_refusing = True
        self._rejected.increment()
        get_request_histogram("/recommend", "POST", "503").observe(0.0)
        return generate_id().encode().join(self._response_parts)

    def _find_length(self, head: bytes) -> int:
        """Return the announced length of the body, or a negative number for a head that must be parsed."""
        length = self._lengths.get(head)
        if length is None:
            announced = _LENGTH.findall(head + b"\r\n")
            is_plain = len(announced) == 1 == len(_ANY_LENGTH.findall(head)) and not _UNUSUAL.search(head)
            length = int(announced[0]) if is_plain else NOT_PLAIN
            if len(self._lengths) >= MAX_HEADS:
                self._lengths.clear()
            self._lengths[head] = length
        return length


def _build_response_parts() -> list[bytes]:
    """Build the response and split it at its id, which appears in a header and in the body."""
    placeholder = "0" * len(generate_id())
    response = build_error_response(Overloaded(DETAIL, retry_after_s=1.0), placeholder)
    id_bytes = placeholder.encode()
    return encode_raw_response(response, (b"x-request-id", id_bytes)).split(id_bytes)
