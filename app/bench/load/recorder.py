"""The counts and latencies of one round, while it runs.

Knows the measured window and what counts in it. Memory is bounded whatever the server does: the array of latencies is
made beforehand, and the window closes when it is full. It knows no sockets; times are `time.perf_counter()` seconds.
"""

import json
from collections import Counter

import numpy as np

from app.bench.load.profile import Latencies, LoadResult

OK, ACCEPTED = 200, 202
MOST_LATENCIES = 4_000_000  # 32 MB
MOST_REQUESTS_PER_S = 100_000  # no single generator comes near
SAMPLE_EVERY = 10
"""One body in so many is kept and parsed."""
MOST_NAMES = 20  # of distinct values that a server may put into an answer


class LatencyRecorder:
    def __init__(self, opens_at: float, seconds: float, capacity: int | None = None) -> None:
        self.opens_at = opens_at
        self.closes_at = opens_at + seconds
        wanted = int(seconds * MOST_REQUESTS_PER_S) + 1 if capacity is None else capacity
        size = min(wanted, MOST_LATENCIES)
        # Reads and writes apart; pages of an array that is never written cost nothing.
        self._latencies: tuple[Latencies, Latencies] = (np.empty(size), np.empty(size))
        self._recorded = [0, 0]
        self._answered = [0, 0]
        self._reads = 0
        self._all_answers = 0
        self._statuses: Counter[int] = Counter()
        self._failures: Counter[str] = Counter()
        self._served_by: Counter[str] = Counter()
        self._model_versions: Counter[str] = Counter()

    def record_response(self, scheduled_at: float, now: float, status: int, is_write: bool = False) -> None:
        """An answer came to a request that was sent, or due, at `scheduled_at`.

        What was sent in the warm-up has a latency of the warm-up, so only the rate counts it.
        """
        self._all_answers += 1
        if now < self.opens_at:
            return
        if status not in (OK, ACCEPTED):
            self._statuses[status] += 1
            return
        in_window = now < self.closes_at
        self._answered[is_write] += in_window
        latencies, recorded = self._latencies[is_write], self._recorded[is_write]
        # A request of the window counts however late its answer: else the slowest would be the ones left out.
        if scheduled_at >= self.opens_at and recorded < len(latencies):
            latencies[recorded] = now - scheduled_at
            self._recorded[is_write] += 1
            if in_window and recorded + 1 == len(latencies):
                self.closes_at = now

    def record_failure(self, now: float, kind: str) -> None:
        if now >= self.opens_at:
            self._failures[kind] += 1

    def should_sample(self) -> bool:
        """Whether the body of the answer to the next read is to be kept, whichever connection sends it."""
        self._reads += 1
        return self._reads % SAMPLE_EVERY == 1

    def record_sample(self, now: float, body: bytes) -> None:
        """Look into the body of an answer 200; a body that is not the service's (a bare server's) says nothing."""
        if now < self.opens_at:
            return
        try:
            answer = json.loads(body)
        except ValueError:
            return
        if isinstance(answer, dict):
            _count(self._served_by, answer.get("served_by"))
            _count(self._model_versions, answer.get("model_version"))

    def to_result(self, cpu_s: float, elapsed_s: float) -> LoadResult:
        return LoadResult(
            seconds=self.closes_at - self.opens_at,
            answered=sum(self._answered),
            latencies_s=self._latencies[0][: self._recorded[0]].copy(),
            statuses=dict(self._statuses),
            failures=dict(self._failures),
            served_by=dict(self._served_by),
            model_versions=dict(self._model_versions),
            all_answers=self._all_answers,
            cpu_s=cpu_s,
            elapsed_s=elapsed_s,
            ok_writes=self._answered[1],
            write_latencies_s=self._latencies[1][: self._recorded[1]].copy(),
        )


def _count(counter: Counter[str], name: object) -> None:
    if isinstance(name, str):
        counter[name[:100] if name in counter or len(counter) < MOST_NAMES else "other"] += 1
