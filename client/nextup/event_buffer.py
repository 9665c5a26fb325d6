"""Events that are sent in batches by a thread in the background."""

import atexit
import copy
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import msgspec

from nextup.client import Client
from nextup.errors import NextupError, ServiceError
from nextup.event_batches import BatchOutcome, select_batch, send_batch
from nextup.event_counts import DroppedEvent, EventCounts
from nextup.event_ids import add_event_ids
from nextup.requests import Event
from nextup.retries import RetryPolicy
from nextup.spool import EventKey, Spool, make_key

log = logging.getLogger("nextup")

BETWEEN_BATCHES = RetryPolicy(first_wait_s=0.2, max_wait_s=30.0)
"""Waits after batches that fail."""


class EventBuffer:
    """A bounded buffer of events in front of `client`; `add` never waits for the network.

    spool       file that keeps events until the service has them, also across restarts; one per process
    max_events  further events are dropped, and counted
    batch_size, batch_bytes, interval_s  a batch leaves when it is full, or when its first event waits so long
    on_drop     called with each event that is given up; its exceptions are logged

    Events without a time get that of `add`. Those of one user must be added by one thread to keep their order; the
    service orders them by time. The file survives the process, not a loss of power: it is not synced per event.
    """

    def __init__(
        self,
        client: Client,
        *,
        spool: str | Path | None = None,
        max_events: int = 10_000,
        batch_size: int = 500,
        batch_bytes: int = 256 * 2**10,
        interval_s: float = 1.0,
        on_drop: Callable[[DroppedEvent], None] | None = None,
    ) -> None:
        if not 1 <= batch_size <= 1000:
            raise ValueError(f"batch_size must be between 1 and 1,000 (got {batch_size})")
        if max_events < 1 or batch_bytes < 1 or not interval_s > 0:
            raise ValueError("max_events, batch_bytes and interval_s must be positive")
        self._client = client
        self._max_events, self._batch_size, self._batch_bytes = max_events, batch_size, batch_bytes
        self._interval_s = interval_s
        self._on_drop = on_drop
        self._counts = EventCounts()
        self._spool = None if spool is None else Spool(Path(spool))
        self._pending: dict[EventKey, bytes] = {} if self._spool is None else self._spool.pending
        self._counts.recovered = len(self._pending)
        self._unspooled: set[EventKey] = set()
        self._changed = threading.Condition()
        self._flushes = 0
        self._deadline: float | None = None
        self._is_closed = False
        self._process_id = os.getpid()
        if self._spool is not None and self._spool.damaged:
            detail = f"{spool} has a damaged line"
            self._drop([DroppedEvent(None, "damaged", detail)] * self._spool.damaged)
        self._thread = threading.Thread(target=self._run, name="nextup-events", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def pending(self) -> int:
        """Number of events that the service does not have, as far as this buffer knows."""
        return len(self._pending)

    @property
    def counts(self) -> EventCounts:
        """A copy of the figures."""
        with self._changed:
            return copy.deepcopy(self._counts)

    def add(self, **event: Unpack[Event]) -> str | None:
        """Add an event and return its id; None if the buffer is full and the event is dropped."""
        if os.getpid() != self._process_id:
            raise RuntimeError("an event buffer does not survive a fork; create one in each process")
        event.setdefault("timestamp", time.time_ns() // 1_000_000)
        if not event.get("user_id") or not event.get("item_id"):
            raise ValueError("an event needs user_id and item_id")
        (identified,) = add_event_ids([event])
        key, payload = make_key(identified), msgspec.json.encode(identified)
        with self._changed:
            if self._deadline is not None:
                raise RuntimeError("the event buffer is closed")
            if len(self._pending) < self._max_events:
                self._store(key, payload)
                return key[1]
        self._drop([DroppedEvent(msgspec.json.decode(payload), "full", f"the buffer has {self._max_events} events")])
        return None

    def _store(self, key: EventKey, payload: bytes) -> None:
        self._counts.added += 1
        if self._spool is not None:
            try:
                self._spool.append(payload)
            except OSError as error:
                self._counts.unspooled += 1
                self._unspooled.add(key)
                log.warning("event %s is only in memory: the spool file cannot be written: %s", key[1], error)
        self._pending[key] = payload
        if len(self._pending) in (1, self._batch_size):
            self._changed.notify_all()

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Send all events that are in the buffer; False if some are left after `timeout_s`."""
        with self._changed:
            awaited = set(self._pending)
            self._flushes += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: awaited.isdisjoint(self._pending), timeout_s)
            finally:
                self._flushes -= 1

    def close(self, timeout_s: float = 10.0) -> EventCounts:
        """Send what is left, at most for `timeout_s`, and return all figures.

        Events that are left stay in the spool file; without one they are dropped and reported.
        """
        if os.getpid() != self._process_id:  # after a fork, whose copy of the lock no thread may release
            return self._counts
        with self._changed:
            if self._is_closed:
                return self.counts
            self._is_closed = True
            self._deadline = time.monotonic() + timeout_s
            self._changed.notify_all()
        atexit.unregister(self.close)
        self._thread.join()
        if self._spool is not None:
            self._spool.close()
        lost = [event for key, event in self._pending.items() if self._spool is None or key in self._unspooled]
        detail = f"not sent within the {timeout_s:g} s of close, and in no spool file"
        self._drop([DroppedEvent(msgspec.json.decode(event), "closed", detail) for event in lost])
        return self.counts

    def _run(self) -> None:
        """Send batches until the buffer is closed."""
        failures = 0
        while batch := self._wait_for_batch():
            try:
                outcome = send_batch(self._client, list(batch.values()), self._find_deadline_s())
            except NextupError as error:
                failures += 1
                if failures == 1:
                    log.warning("%d events wait for the service: %s", len(self._pending), error)
                self._pause(failures, error.retry_after_s if isinstance(error, ServiceError) else None)
                continue
            except Exception:
                log.exception("the event buffer stops: %d events are left", len(self._pending))
                return
            if failures:
                log.info("the service accepts events again; %d wait", len(self._pending) - len(batch))
            failures = 0
            self._settle(batch, outcome)

    def _wait_for_batch(self) -> dict[EventKey, bytes]:
        """Wait until a batch is due; it is empty if the buffer is closed and has nothing to send, or no time left."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._deadline is not None)
            self._changed.wait_for(
                lambda: len(self._pending) >= self._batch_size or self._flushes or self._deadline is not None,
                self._interval_s,
            )
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return {}
            return select_batch(self._pending, self._batch_size, self._batch_bytes)

    def _find_deadline_s(self) -> float:
        longest_s = self._client.options.deadline_s
        return longest_s if self._deadline is None else max(0.01, min(longest_s, self._deadline - time.monotonic()))

    def _pause(self, failures: int, retry_after_s: float | None) -> None:
        """Wait after a failed batch; until the deadline of `close` at most."""
        wait_until = time.monotonic() + BETWEEN_BATCHES.draw_wait(failures, retry_after_s)
        with self._changed:
            while (remaining_s := min(wait_until, self._deadline or wait_until) - time.monotonic()) > 0:
                self._changed.wait(remaining_s)

    def _settle(self, batch: dict[EventKey, bytes], outcome: BatchOutcome) -> None:
        with self._changed:
            for key in batch:
                del self._pending[key]
            self._unspooled.difference_update(batch)
            self._counts.results.update(outcome.statuses)
            self._count(outcome.dropped)
            if self._spool is not None:
                try:
                    self._spool.settle(batch, self._pending)
                except OSError as error:  # the events are sent once more after a restart, which changes nothing
                    log.warning("the spool file cannot be written: %s", error)
            self._changed.notify_all()
        self._report(outcome.dropped)

    def _drop(self, dropped: list[DroppedEvent]) -> None:
        with self._changed:
            self._count(dropped)
        self._report(dropped)

    def _count(self, dropped: list[DroppedEvent]) -> None:
        self._counts.dropped.update(entry.reason for entry in dropped)

    def _report(self, dropped: list[DroppedEvent]) -> None:
        """Log the events and call `on_drop`; only the first event that meets a full buffer is logged."""
        if dropped and (dropped[0].reason != "full" or self._counts.dropped["full"] == 1):
            first = dropped[0]
            log.warning("%d events dropped, the first because it is %s: %s", len(dropped), first.reason, first.detail)
        for entry in dropped:
            if self._on_drop is not None:
                try:
                    self._on_drop(entry)
                except Exception:
                    log.exception("on_drop failed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
