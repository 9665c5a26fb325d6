"""The loop of `nextup consume`: read a batch, store it, put poison messages aside, acknowledge, repeat.

One batch is in hand at a time, which bounds memory and applies backpressure to the source. A step that fails is
repeated with exponential backoff; storing a batch again is safe, because its events take effect once.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from app.errors import ServiceError
from app.events.service import EventService
from app.runtime.single_thread import SingleThread
from app.streaming.dead_letters import DeadLetterFile
from app.streaming.messages import Message, PoisonMessage, parse_message
from app.streaming.source import EventSource, SourceUnavailable
from app.telemetry.consumer_metrics import ERRORS, LAG, MESSAGES, OLDEST_AGE

log = logging.getLogger("nextup")

READ_WAIT_S = 0.5
"""Longest wait for a message, and so the delay of a stop while the source is idle."""
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.1, 5.0
LAG_INTERVAL_S = 5.0
NOT_STORED = ("invalid", "failed")
"""Results of events that go to the dead letters: no retry changes them."""
SERVER_FAULT = 503
"""Status of errors that pass: the store is away, its event log is full, or a replica is missing."""


class Stopped(Exception):
    """The consumer stops; the messages in hand are not acknowledged and will be delivered again."""


class Consumer:
    """Consumes one source; `counts` has the number of messages by result."""

    def __init__(
        self,
        source: EventSource,
        events: EventService,
        dead_letters: DeadLetterFile,
        *,
        batch_size: int,
        drain_s: float,
        idle_s: float | None = None,
    ) -> None:
        """Stop by itself after `idle_s` seconds without a message and without lag; None = never."""
        self._source = source
        self._events = events
        self._dead_letters = dead_letters
        self._batch_size = batch_size
        self._drain_s = drain_s
        self._idle_s = idle_s
        self._files = SingleThread("dead-letters")
        self._stopping = asyncio.Event()
        self._deadline = float("inf")
        self._lag_due_at = 0.0
        self._lag: int | None = None
        self.counts: Counter[str] = Counter()

    def stop(self) -> None:
        """Finish the batch in hand, at most `drain_s` seconds, and end `run`."""
        if not self._stopping.is_set():
            self._deadline = time.monotonic() + self._drain_s
            self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop` is called or the source is idle."""
        active_at = time.monotonic()
        with suppress(Stopped):
            while not self._stopping.is_set():
                messages = await self._repeat("read", partial(self._source.read, self._batch_size, READ_WAIT_S))
                if messages:
                    await self._process(messages)
                    active_at = time.monotonic()
                await self._update_lag()
                if self._idle_s is not None and time.monotonic() - active_at > self._idle_s and self._lag == 0:
                    return

    async def _process(self, messages: Sequence[Message]) -> None:
        """Store the messages of one batch, then acknowledge them."""
        letters: list[tuple[Message, str]] = []
        parsed: list[tuple[Message, Any]] = []
        for message in messages:
            try:
                parsed.append((message, parse_message(message)))
            except PoisonMessage as error:
                letters.append((message, str(error)))
        times = [message.timestamp_ms for message in messages if message.timestamp_ms is not None]
        if parsed:
            raw_events = [event for _, event in parsed]
            results = await self._repeat(
                "store", partial(self._events.ingest_each, raw_events), min(times, default=None)
            )
            self.counts.update(result.status for result in results)
            letters += [
                (message, result.detail or result.status)
                for (message, _), result in zip(parsed, results, strict=True)
                if result.status in NOT_STORED
            ]
        if letters:
            await self._repeat("dead_letter", partial(self._files.call, partial(self._dead_letters.write, letters)))
        await self._repeat("acknowledge", partial(self._source.acknowledge, messages))
        OLDEST_AGE.set(0)
        MESSAGES.labels("processed").inc(len(messages) - len(letters))
        MESSAGES.labels("dead_letter").inc(len(letters))
        self.counts["messages"] += len(messages)
        self.counts["dead_letters"] += len(letters)

    async def _repeat(self, operation: str, step: Callable[[], Awaitable[Any]], oldest_ms: int | None = None) -> Any:
        """Run a step until it succeeds, with exponential backoff; Stopped when the time to stop is over."""
        backoff_s, failures = FIRST_BACKOFF_S, 0
        while True:
            if oldest_ms is not None:
                OLDEST_AGE.set(max(0.0, time.time() - oldest_ms / 1000))
            try:
                result = await self._run_until_deadline(step)
            except (ServiceError, OSError) as error:
                if isinstance(error, ServiceError) and error.status != SERVER_FAULT:
                    raise
                ERRORS.labels(operation).inc()
                if not failures:
                    log.warning("cannot %s: %s; retrying with backoff", operation.replace("_", " "), error)
                failures += 1
            else:
                if failures:
                    log.info("%s works again after %d failures", operation.replace("_", " "), failures)
                return result
            await self._wait(backoff_s)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def _run_until_deadline(self, step: Callable[[], Awaitable[Any]]) -> Any:
        """Await a step; Stopped if it has not ended when the time to stop is over.

        The step is a task that is not cancelled before: redis-py can swallow a cancellation in a command.
        """
        task = asyncio.ensure_future(step())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait([task], timeout=max(0.0, self._deadline - time.monotonic()))
            if not task.done():
                raise Stopped
            return task.result()
        finally:
            stopping.cancel()
            task.cancel()

    async def _wait(self, seconds: float) -> None:
        """Wait before a retry and remain in the group; Stopped when the time to stop is over.

        While stopping, retries go on until the deadline, because the store may return in time.
        """
        if time.monotonic() + seconds > self._deadline:
            raise Stopped
        if self._stopping.is_set():
            await asyncio.sleep(seconds)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)
        with suppress(SourceUnavailable):
            await self._run_until_deadline(self._source.keep_alive)
        await self._update_lag()

    async def _update_lag(self) -> None:
        """Update the lag now and then; a source that does not answer leaves it as it is."""
        now = time.monotonic()
        if now < self._lag_due_at or self._stopping.is_set():
            return
        self._lag_due_at = now + LAG_INTERVAL_S
        try:
            self._lag = await self._run_until_deadline(self._source.count_lag)
        except SourceUnavailable:
            ERRORS.labels("lag").inc()
            return
        if self._lag is None:
            self._lag_due_at = now + READ_WAIT_S
        LAG.set(float("nan") if self._lag is None else self._lag)
