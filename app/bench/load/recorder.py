"""Counts and latencies of one round while it runs.

Memory is bounded for any response rate: the latency arrays are allocated in advance, and the measured window closes
when one is full. Times are `time.perf_counter()` seconds.
"""

import json
from collections import Counter, deque

import numpy as np

from app.bench.load.profile import Latencies, LoadResult

OK, ACCEPTED = 200, 202
MAX_LATENCIES = 4_000_000  # 32 MB
MAX_REQUESTS_PER_S = 100_000  # far above the rate of a single generator
SAMPLE_EVERY = 10
"""One of so many response bodies is buffered and parsed."""
MAX_REFUSALS = 1_000_000
OVERLOADED = "overloaded"
"""Reason of a response that has popular items because the model is overloaded."""
MAX_NAMES = 20  # distinct values of a response field that are counted separately
MAX_NAME_CHARACTERS = 100


class LatencyRecorder:
    def __init__(self, opens_at: float, seconds: float, capacity: int | None = None) -> None:
        self.opens_at = opens_at
        self.closes_at = opens_at + seconds
        requested = int(seconds * MAX_REQUESTS_PER_S) + 1 if capacity is None else capacity
        size = min(requested, MAX_LATENCIES)
        # Index 0 holds reads, 1 writes; array pages that are never written cost nothing.
        self._latencies: tuple[Latencies, Latencies] = (np.empty(size), np.empty(size))
        self._recorded = [0, 0]
        self._ok_responses = [0, 0]
        self._reads = 0
        self._all_responses = 0
        self._statuses: Counter[int] = Counter()
        self._refusals = deque[float](maxlen=MAX_REFUSALS)
        self._failures: Counter[str] = Counter()
        self._served_by: Counter[str] = Counter()
        self._model_versions: Counter[str] = Counter()

    def record_response(self, scheduled_at: float, now: float, status: int, is_write: bool = False) -> None:
        """Record a response to a request that was sent, or scheduled, at `scheduled_at`.

        A request sent during the warm-up has a warm-up latency, so only the rate counts it.
        """
        self._all_responses += 1
        if now < self.opens_at:
            return
        if status not in (OK, ACCEPTED):
            self._statuses[status] += 1
            if scheduled_at >= self.opens_at:
                self._refusals.append(now - scheduled_at)
            return
        in_window = now < self.closes_at
        self._ok_responses[is_write] += in_window
        latencies, recorded = self._latencies[is_write], self._recorded[is_write]
        # A request of the window counts however late its response is, or the slowest ones would be omitted.
        if scheduled_at >= self.opens_at and recorded < len(latencies):
            latencies[recorded] = now - scheduled_at
            self._recorded[is_write] += 1
            if in_window and recorded + 1 == len(latencies):
                self.closes_at = now

    def record_failure(self, now: float, kind: str) -> None:
        if now >= self.opens_at:
            self._failures[kind] += 1

    def should_sample(self) -> bool:
        """Return whether to buffer the response body of the next read, on any connection."""
        self._reads += 1
        return self._reads % SAMPLE_EVERY == 1

    def record_sample(self, now: float, body: bytes, latency_s: float | None = None) -> None:
        """Count the source and model version of a response; other servers' bodies are ignored."""
        if now < self.opens_at:
            return
        try:
            response = json.loads(body)
        except ValueError:
            return
        if isinstance(response, dict):
            _count_name(self._served_by, response.get("served_by"))
            _count_name(self._model_versions, response.get("model_version"))
            if response.get("reason") == OVERLOADED and latency_s is not None:
                self._refusals.append(latency_s)

    def to_result(self, cpu_s: float, elapsed_s: float) -> LoadResult:
        return LoadResult(
            seconds=self.closes_at - self.opens_at,
            ok_responses=sum(self._ok_responses),
            latencies_s=self._latencies[0][: self._recorded[0]].copy(),
            statuses=dict(self._statuses),
            failures=dict(self._failures),
            served_by=dict(self._served_by),
            model_versions=dict(self._model_versions),
            all_responses=self._all_responses,
            cpu_s=cpu_s,
            elapsed_s=elapsed_s,
            ok_writes=self._ok_responses[1],
            refusal_latencies_s=np.array(self._refusals),
            write_latencies_s=self._latencies[1][: self._recorded[1]].copy(),
        )


def _count_name(counter: Counter[str], name: object) -> None:
    if isinstance(name, str):
        counter[name[:MAX_NAME_CHARACTERS] if name in counter or len(counter) < MAX_NAMES else "other"] += 1
