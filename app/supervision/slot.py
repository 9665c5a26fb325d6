"""A place for one process of the service: keeps it occupied, with exponential backoff between two starts.

A process whose model hangs, and one that an operator wants to replace, keeps its connections until its successor
serves; one whose event loop hangs is killed first.
"""

import logging
import time

from app.supervision.child import Child, Ending
from app.supervision.metrics_folder import merge_metrics
from app.telemetry.restarts import count_restart

log = logging.getLogger("nextup")

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.2, 30.0
STEADY_S = 60.0
"""Uptime after which the backoff begins again."""


class Slot:
    """`kind` is a label of the metric; `drain_s` bounds the end of a process that is replaced."""

    def __init__(self, name: str, kind: str, module: str, *, stall_s: float, drain_s: float) -> None:
        self.name = name
        self.child: Child | None = None
        self.first_ending: Ending | None = None
        """Why the first process ended before the slot ever served."""
        self.is_service_up = False
        """Whether any worker has served; before that, a start that fails may end the service."""
        self.has_served = False
        self._successor: Child | None = None
        self._retired: list[Child] = []
        self._kind = kind
        self._module = module
        self._stall_s = stall_s
        self._drain_s = drain_s
        self._backoff_s = MIN_BACKOFF_S
        self._start_at: float | None = time.monotonic()

    @property
    def children(self) -> list[Child]:
        """All processes of the slot, also those that are starting or ending."""
        return [child for child in (self.child, self._successor, *self._retired) if child is not None]

    @property
    def is_replacing(self) -> bool:
        return self._successor is not None or self._start_at is not None

    def replace(self) -> None:
        """Start a successor, on behalf of an operator."""
        if self.child is not None and not self.is_replacing:
            count_restart(self._kind, "requested")
            self._start_at = time.monotonic()

    def step(self) -> None:
        """Look at all processes of the slot; start, replace and end them as needed."""
        self._retired = [child for child in self._retired if not self._finish(child)]
        self._check_child()
        self._check_successor()
        if self._start_at is not None and time.monotonic() >= self._start_at:
            self._start()

    def drain(self, kill_at: float) -> None:
        """End all processes of the slot, and start no more."""
        self._start_at = None
        for child in self.children:
            if child.is_serving:
                child.drain(kill_at)
            else:  # nothing is lost, and it would only read its channel after the start
                child.kill()

    def is_empty(self) -> bool:
        """Whether all processes have ended; kills those whose time is over."""
        return sum(child.enforce() for child in self.children) == len(self.children)

    def close(self) -> None:
        """Kill all processes."""
        for child in self.children:
            child.kill()
            child.close()

    def delay_checks(self, seconds: float) -> None:
        """Forgive a silence during which this process did not run either."""
        for child in self.children:
            child.beat_at += seconds

    def _check_child(self) -> None:
        child = self.child
        if child is None:
            return
        self.has_served = self.has_served or child.is_serving
        ending = child.find_ending(self._stall_s)
        if ending is None:
            return
        if ending.reason == "model_stalled" and self._can_wait:
            if not self.is_replacing:
                self._schedule_start(child, ending)
            return
        if not self.has_served and self.first_ending is None:
            self.first_ending = ending
        self._schedule_start(child, ending)
        child.kill()
        self._retired.append(child)
        self.child, self._successor = self._successor, None

    def _start(self) -> None:
        merge_metrics()
        try:
            child = Child(self.name, self._module)
        except OSError as error:  # the machine has no memory, processes or files left
            log.error("%s cannot be started: %s; next try in %g s", self.name, error.strerror, MAX_BACKOFF_S)
            self._start_at = time.monotonic() + MAX_BACKOFF_S
            return
        self._start_at = None
        if self.child is None:
            self.child = child
        else:
            self._successor = child

    @property
    def _can_wait(self) -> bool:
        """Whether a process with a hanging model is still useful: a worker serves popular items."""
        return self._kind == "worker"

    def _check_successor(self) -> None:
        successor = self._successor
        if successor is None:
            return
        ending = successor.find_ending(self._stall_s)
        if ending is not None:
            self._schedule_start(successor, ending)
            successor.kill()
            self._retired.append(successor)
            self._successor = None
        elif successor.is_serving:
            if self.child is not None:
                self.child.drain(time.monotonic() + self._drain_s)
                self._retired.append(self.child)
            self.child, self._successor = successor, None

    def _schedule_start(self, child: Child, ending: Ending) -> None:
        """Report the end of a process, and start another one unless that is under way."""
        if time.monotonic() - child.started_at > STEADY_S:
            self._backoff_s = MIN_BACKOFF_S
        count_restart(self._kind, ending.reason)
        is_under_way = self._start_at is not None or (self._successor is not None and self._successor is not child)
        if is_under_way or (ending.reason == "start_failed" and not self.is_service_up):
            if self.is_service_up or not ending.is_explained:
                log.error("%s %s", child, ending.text)
        else:
            log.error("%s %s; starting another one in %g s", child, ending.text, self._backoff_s)
        if not is_under_way:
            self._start_at = time.monotonic() + self._backoff_s
            self._backoff_s = min(2 * self._backoff_s, MAX_BACKOFF_S)

    @staticmethod
    def _finish(child: Child) -> bool:
        if not child.enforce():
            return False
        child.close()
        return True
