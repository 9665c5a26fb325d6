"""Shadow version: answers a share of the real requests in the background, after they have been answered.

It never delays an answer by more than it slows the machine down: one query at a time in its own thread, few wait, and
queries are dropped while requests wait for the serving model. What is found is summed over all processes in Redis.
"""

import asyncio
import dataclasses
import logging
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np

from app.errors import StoreUnavailable
from app.experiment_state.follower import ExperimentFollower
from app.inference.local_engine import InferenceEngine
from app.inference.query import Query, TopItems
from app.inference.servable import Servable
from app.model_server.comparison import find_error
from app.runtime.periodic import run_periodically
from app.stores.experiment_records import Shadow
from app.stores.experiments import SHADOW, Counts
from app.telemetry.version_metrics import (
    SHADOW_ANSWER_OVERLAP,
    SHADOW_ANSWER_SECONDS,
    SHADOW_ANSWERS,
    SHADOW_SCORE_DIFFERENCE,
)

log = logging.getLogger("nextup")

MAX_PENDING = 4
"""Queries that wait for the shadow version; more are dropped."""
MAX_KEYS = 4096
"""Most items of a query, filters included."""
DEPTH = 10
"""First items of an answer that are compared."""
ANSWER_TIMEOUT_S = 2.0
FLUSH_INTERVAL_S = 0.5


class ShadowRunner:
    """Lets the shadow version of the follower answer what the engine has answered. Belongs to the event loop."""

    def __init__(self, engine: InferenceEngine, follower: ExperimentFollower) -> None:
        self._engine = engine
        self._follower = follower
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shadow")
        self._tasks: set[asyncio.Task[None]] = set()
        self._started_at = 0
        self._amounts: dict[str, float] = defaultdict(float)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Follow the answers of the engine until the block ends."""
        self._engine.on_answer = self.on_answer
        try:
            async with run_periodically(self.flush, every_s=FLUSH_INTERVAL_S, name="shadow results"):
                yield
        finally:
            self._engine.on_answer = None
            for task in self._tasks:
                task.cancel()
            self._thread.shutdown(wait=False, cancel_futures=True)

    def on_answer(self, query: Query, top: TopItems) -> None:
        """Let the shadow version answer as well, if this request is in its share and nothing waits."""
        shadow = self._follower.shadow
        if shadow is None or random.random() >= shadow.share:  # noqa: S311 - no secret
            return
        candidate = self._engine.residents.get(shadow.version)
        size = len(query.history) + len(query.exclude) + (0 if query.candidates is None else len(query.candidates))
        is_comparable = top.source == "model" and top.version == self._engine.servable.version and not query.explain
        if candidate is None or not is_comparable or size > MAX_KEYS:
            return
        if len(self._tasks) >= MAX_PENDING or self._engine.queue_depth:
            self._count(shadow, "dropped")
            return
        # Times may be a function that holds the stored history.
        query = dataclasses.replace(query, times=query.read_times(), trace=None, version=None)
        task = asyncio.create_task(self._compare(shadow, candidate, query, top), name="shadow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _compare(self, shadow: Shadow, candidate: Servable, query: Query, expected: TopItems) -> None:
        if self._engine.queue_depth:
            self._count(shadow, "dropped")
            return
        loop = asyncio.get_running_loop()
        answer, seconds = await loop.run_in_executor(self._thread, candidate.measure, query, ANSWER_TIMEOUT_S)
        problem = repr(answer)[:200] if isinstance(answer, Exception) else find_error(answer, query)
        if isinstance(answer, Exception) or problem is not None:
            if not self._amounts["error"]:
                log.error("shadow version %s failed a query: %s", shadow.version, problem)
            self._count(shadow, "error")
            return
        self._count(shadow, "ok")
        self._observe(expected, answer, seconds)

    def _observe(self, expected: TopItems, answer: TopItems, seconds: float) -> None:
        serving_s = expected.encode_s + expected.score_s
        SHADOW_ANSWER_SECONDS.observe(seconds)
        self._amounts["candidate_s"] += seconds
        self._amounts["serving_s"] += serving_s
        expected_scores = dict(zip(expected.item_ids[:DEPTH], expected.scores, strict=False))
        scores = dict(zip(answer.item_ids[:DEPTH], answer.scores, strict=False))
        if not expected_scores:
            return
        shared = expected_scores.keys() & scores.keys()
        overlap = len(shared) / len(expected_scores)
        SHADOW_ANSWER_OVERLAP.observe(overlap)
        self._amounts["overlap"] += overlap
        self._amounts["compared"] += 1
        if shared:
            difference = float(np.mean([abs(scores[item_id] - expected_scores[item_id]) for item_id in shared]))
            SHADOW_SCORE_DIFFERENCE.observe(difference)
            self._amounts["score_difference"] += difference
            self._amounts["scored"] += 1

    def _count(self, shadow: Shadow, result: str) -> None:
        if shadow.started_at != self._started_at:  # amounts of an earlier shadow have no record any more
            self._started_at, self._amounts = shadow.started_at, defaultdict(float)
        SHADOW_ANSWERS.labels(result).inc()
        self._amounts[result] += 1

    async def flush(self) -> None:
        """Add what was counted to the sums in Redis; while it is away, they wait."""
        if not self._amounts:
            return
        amounts, self._amounts = self._amounts, defaultdict(float)
        try:
            await self._follower.store.add_counts([Counts(SHADOW, self._started_at, amounts)])
        except StoreUnavailable as error:
            log.debug("results of the shadow version wait: %s", error.detail)
            for name, amount in amounts.items():
                self._amounts[name] += amount
