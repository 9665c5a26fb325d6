"""Metrics and log lines of circuit breakers: each opening and closing is logged, the probes between are counted."""

import logging
import time
from typing import Literal

from prometheus_client import Counter, Gauge

from app.runtime.circuit_breaker import State

log = logging.getLogger("nextup")

CircuitName = Literal["store", "model"]
CIRCUIT_NAMES: tuple[CircuitName, ...] = ("store", "model")
STATE_VALUES: dict[State, int] = {"closed": 0, "half_open": 1, "open": 2}

CIRCUIT_STATE = Gauge(
    "nextup_circuit_state",
    "State of a circuit breaker, the worst of all processes: 0 closed, 1 half open (a probe is out), 2 open.",
    ["circuit"],
    multiprocess_mode="livemax",
)
CIRCUIT_CHANGES = Counter(
    "nextup_circuit_changes", "Transitions of a circuit breaker, by the new state.", ["circuit", "state"]
)
MODEL_FAILURES = Counter(
    "nextup_model_failures", "Queries that the model failed: it raised, or answered nothing in time.", ["kind"]
)
for _kind in ("error", "timeout"):
    MODEL_FAILURES.labels(_kind)
for _name in CIRCUIT_NAMES:
    CIRCUIT_STATE.labels(_name)
    for _state in STATE_VALUES:
        CIRCUIT_CHANGES.labels(_name, _state)


class CircuitReport:
    """Reports the transitions of one circuit breaker; `consequence` is what callers see while it is open."""

    def __init__(self, name: CircuitName, consequence: str) -> None:
        self._name: CircuitName = name
        self._consequence = consequence
        self._opened_at: float | None = None
        self._probes = 0

    def __call__(self, state: State, cause: str) -> None:
        CIRCUIT_STATE.labels(self._name).set(STATE_VALUES[state])
        CIRCUIT_CHANGES.labels(self._name, state).inc()
        if state == "half_open":
            self._probes += 1
        elif state == "open" and self._opened_at is None:
            self._opened_at, self._probes = time.monotonic(), 0
            log.error("the circuit of the %s opened: %s; %s", self._name, cause, self._consequence)
        elif state == "closed" and self._opened_at is not None:
            seconds, self._opened_at = time.monotonic() - self._opened_at, None
            log.warning(
                "the circuit of the %s closed after %.1f s and %d probe(s): %s",
                self._name,
                seconds,
                self._probes,
                cause,
            )
