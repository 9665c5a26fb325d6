"""Circuit breaker around an engine: a model that raises or times out again and again is not queried for a moment.

An engine reports by itself that its model is away or hangs (`unavailable_reason`); this adds the faults that only show
in the answers. A timeout counts only if the model has answered nothing since the query was submitted: with other
answers in between, the queue was long.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import isfinite

import numpy as np

from app.errors import DeadlineExceeded, ModelUnavailable, ServiceError
from app.inference.interfaces import Engine
from app.inference.query import Query, SimilarQuery, TopItems
from app.runtime.circuit_breaker import THRESHOLD, CircuitBreaker, OnChange
from app.settings import Settings
from app.telemetry.circuits import MODEL_FAILURES, CircuitReport

log = logging.getLogger("nextup")

ERROR_WEIGHT = THRESHOLD / 5
"""Five errors in a row open the circuit, as two timeouts do: an error may be due to the query."""
LOG_INTERVAL_S = 10.0
DETAIL = "the model failed a moment ago; it gets no query until a probe succeeds"


@asynccontextmanager
async def open_circuit(engine: Engine, settings: Settings) -> AsyncIterator["ModelCircuit"]:
    """Open a circuit breaker around the model until the block ends."""
    report = CircuitReport("model", "answers come from the cache, item neighbours or popularity until a probe succeeds")
    circuit = ModelCircuit(engine, patience_s=settings.request_deadline_ms / 2000, on_change=report)
    try:
        yield circuit
    finally:
        await circuit.close()


class ModelCircuit:
    """`patience_s` is the time in which a model that works answers; shorter deadlines of callers prove nothing."""

    def __init__(self, engine: Engine, *, patience_s: float, on_change: OnChange | None = None) -> None:
        self._engine = engine
        self._patience_s = patience_s
        self._circuit = CircuitBreaker(self._probe, on_change=on_change)
        self._answered_at = float("-inf")
        self._logged_at = float("-inf")
        self._unlogged = 0

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        """Query the engine; see `Engine.find_top_items`. ModelUnavailable also if the model raises."""
        if not self._circuit.is_closed:
            raise ModelUnavailable(DETAIL)
        loop = asyncio.get_running_loop()
        submitted_at = loop.time()
        try:
            top = await self._query(query, deadline)
        except DeadlineExceeded:
            is_slow = loop.time() - submitted_at >= self._patience_s
            if is_slow and self._answered_at < submitted_at:
                MODEL_FAILURES.labels("timeout").inc()
                self._circuit.record_failure(f"no answer within {self._patience_s:g} s")
            raise
        except ServiceError:
            raise
        except Exception as error:
            MODEL_FAILURES.labels("error").inc()
            self._log(error)
            self._circuit.record_failure(repr(error)[:200], ERROR_WEIGHT)
            raise ModelUnavailable(f"the model failed: {type(error).__name__}") from error
        self._answered_at = loop.time()
        self._circuit.record_success()
        return top

    async def close(self) -> None:
        """Stop probing."""
        await self._circuit.close()

    async def _query(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        top = await self._engine.find_top_items(query, deadline)
        if not all(map(isfinite, top.scores)):
            raise ValueError("the model returned a score that is not finite")
        return top

    async def _probe(self) -> None:
        """Send the shortest query; an error means that the model does not work yet."""
        query = Query(history=np.array(self._engine.servable.catalogue.keys.keys[:1]), k=1)
        await self._query(query, asyncio.get_running_loop().time() + self._patience_s)

    def _log(self, error: Exception) -> None:
        """Log the error with its traceback, at most once per interval: each query may fail."""
        self._unlogged += 1
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL_S:
            count, self._unlogged, self._logged_at = self._unlogged, 0, now
            log.error("the model failed %d time(s); answers come from other sources", count, exc_info=error)
