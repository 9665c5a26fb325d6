"""Dynamic batching without a timer: a batch is the queue that built up while the previous batch ran.

An idle batcher runs at the next tick of the event loop, so a single request never waits for others, and requests of
one tick share a batch. The batcher handles deadlines, queue bounds and cancelled callers; given a latency model, it
rejects requests that would miss their deadline: on admission, and again before their batch starts. `run` is any
coroutine function from a list of items to one result (or one exception) per item.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic

from app.batching.entry import Item, QueueEntry, Result
from app.batching.latency_model import BatchLatencyModel
from app.batching.observer import BatchObserver, NullBatchObserver
from app.errors import DeadlineExceeded, Draining, Overloaded, ServiceError

CANCEL_GRACE_S = 1.0
WAIT_MARGIN = 1.25
"""Factor on the predicted wait on admission: a rejection on arrival is better than one after most of the wait."""

RUN_MARGIN = 1.1
"""Factor on the predicted run time before a batch starts."""


class Batcher(Generic[Item, Result]):
    def __init__(
        self,
        run: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_batch: int,
        queue_limit: int,
        name: str,
        concurrency: int = 1,
        observer: BatchObserver | None = None,
        cost_of: Callable[[Item], float] | None = None,
    ) -> None:
        """`cost_of` returns the cost of an item in any unit; it enables the latency model, for a concurrency of 1."""
        assert min(max_batch, queue_limit, concurrency) >= 1, f"{name}: bounds start at 1"
        assert cost_of is None or concurrency == 1, f"{name}: the latency model assumes one batch at a time"
        self._run = run
        self._max_batch = max_batch
        self._queue_limit = queue_limit
        self._name = name
        self._concurrency = concurrency
        self._observer: BatchObserver = observer or NullBatchObserver()
        self._cost_of = cost_of
        self._latency_model = BatchLatencyModel()
        self._busy_until = 0.0  # predicted end of the running batch
        self._last_size = 0
        # Ordered, with removal from anywhere: cancelled entries must not occupy slots in the bounded queue.
        self._queue: OrderedDict[QueueEntry[Item, Result], None] = OrderedDict()
        self._running: dict[asyncio.Task[None], list[QueueEntry[Item, Result]]] = {}
        self._wake_up: asyncio.Handle | None = None
        self._context = Context()  # a batch belongs to no request; otherwise its log lines would carry the first id
        self._closed = False
        self.running_since: float | None = None
        """Start of the batches that run, by time.monotonic(); None while none runs. Any thread may read it."""
        self.finished_at = time.monotonic()
        """When a batch last finished."""

    @property
    def depth(self) -> int:
        """Number of entries that wait for their batch to start."""
        return len(self._queue)

    @property
    def running_batches(self) -> int:
        return len(self._running)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._queue and not self._running

    async def submit(self, item: Item, deadline: float | None = None, *, is_probe: bool = False) -> Result:
        """Return the result for one item; `deadline` is a value of the running loop's `time()`.

        A probe is an item like any other, but neither metrics nor the latency model count it.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._admit(now, deadline)
        cost = 0.0 if self._cost_of is None else self._cost_of(item)
        # without type arguments, which cost a microsecond at run time
        entry: QueueEntry[Item, Result] = QueueEntry(item, loop.create_future(), now, deadline, cost, is_probe)
        self._queue[entry] = None
        if self._wake_up is None and len(self._running) < self._concurrency:
            self._wake_up = loop.call_soon(self._start_batches, context=self._context)
        # A timer per waiter, because the run itself may hang: the waiter returns on time in any case.
        timer = None if deadline is None else loop.call_at(deadline, self._expire, entry)
        try:
            return await entry.waiter
        except asyncio.CancelledError:
            self._queue.pop(entry, None)
            self._observer.on_cancelled()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            del entry  # the traceback of an error refers to this frame, and the entry to the error: a cycle

    def predict_run_s(self, items: Sequence[Item]) -> float:
        """Predict how long a batch of these items runs; infinite until the latency model is ready."""
        if self._cost_of is None or not self._latency_model.is_ready:
            return float("inf")
        return self._latency_model.predict(1, len(items), sum(map(self._cost_of, items)))

    async def close(self, timeout_s: float) -> None:
        """Reject new items and drain the queue; after `timeout_s` the remaining entries fail with Draining."""
        self._closed = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (self._queue or self._running) and loop.time() < deadline:
            if self._running:
                timeout = deadline - loop.time()
                await asyncio.wait(self._running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0)  # the start of the queued entries is already scheduled
        unfinished = [*self._queue, *(entry for batch in self._running.values() for entry in batch)]
        self._queue.clear()
        for entry in unfinished:
            if not entry.waiter.done():
                entry.waiter.set_exception(self._reject("draining"))
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CANCEL_GRACE_S)

    def _admit(self, now: float, deadline: float | None) -> None:
        if self._closed:
            raise self._reject("draining")
        if deadline is not None and now >= deadline:
            raise self._reject("deadline")
        if len(self._queue) >= self._queue_limit:
            raise self._reject("overloaded")
        if deadline is not None and self._running and now + WAIT_MARGIN * self._predict_wait_s(now, 1) >= deadline:
            raise self._reject("deadline_unmeetable")

    def _predict_wait_s(self, now: float, extra_entries: int) -> float:
        """Predict how long the queue and `extra_entries` more take; 0 until the latency model is ready."""
        if self._cost_of is None or not self._latency_model.is_ready:
            return 0.0
        entries = len(self._queue) + extra_entries
        batches = -(-entries // self._max_batch)
        # Later entries join the last batch and make it longer: under sustained load it becomes as large as this one.
        entries = max(entries, (batches - 1) * self._max_batch + self._last_size)
        queue_s = self._latency_model.predict(batches, entries, entries * self._latency_model.mean_cost)
        return max(0.0, self._busy_until - now) + queue_s

    def _start_batches(self) -> None:
        self._wake_up = None
        loop = asyncio.get_running_loop()
        while self._queue and len(self._running) < self._concurrency:
            now = loop.time()
            batch = self._take_batch(now)
            if batch:
                if waits_s := [now - entry.arrived_at for entry in batch if not entry.is_probe]:
                    self._observer.on_batch_started(waits_s)
                self._last_size = len(batch)
                self._running[loop.create_task(self._run_batch(batch), name=f"{self._name}-batch")] = batch

    def _take_batch(self, now: float) -> list[QueueEntry[Item, Result]]:
        """Take entries that can end in time; those that cannot are rejected rather than computed in vain.

        If none can, the latest deadline is tried, because a prediction that stops all batches would never be corrected.
        """
        batch: list[QueueEntry[Item, Result]] = []
        while self._queue and len(batch) < self._max_batch:
            entry, _ = self._queue.popitem(last=False)
            if entry.deadline is not None and now >= entry.deadline:
                self._expire(entry)  # the event loop was busy, so the entry's timer has not fired yet
            elif not entry.waiter.done():
                batch.append(entry)
            if batch and (len(batch) == self._max_batch or not self._queue):
                batch = self._drop_late(batch, now)
        return batch

    def _drop_late(self, batch: list[QueueEntry[Item, Result]], now: float) -> list[QueueEntry[Item, Result]]:
        """Reject the entries of a batch that would end too late, and predict when the others end."""
        run_s = self._predict_batch_s(batch)
        self._busy_until = now + run_s
        ends_at = now + RUN_MARGIN * run_s
        remaining = [entry for entry in batch if entry.deadline is None or entry.deadline >= ends_at]
        if len(remaining) == len(batch):
            return batch
        if not remaining and not self._queue:
            remaining = [max(batch, key=lambda entry: entry.deadline or 0.0)]
        for entry in batch:
            if entry not in remaining:
                entry.waiter.set_exception(self._reject("deadline_unmeetable"))
        self._busy_until = now + self._predict_batch_s(remaining)
        return remaining

    def _predict_batch_s(self, batch: list[QueueEntry[Item, Result]]) -> float:
        if not self._latency_model.is_ready:
            return 0.0
        return self._latency_model.predict(1, len(batch), sum(entry.cost for entry in batch))

    async def _run_batch(self, batch: list[QueueEntry[Item, Result]]) -> None:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        if self.running_since is None:
            self.running_since = time.monotonic()
        results: Sequence[Result | Exception]
        try:
            results = await self._run([entry.item for entry in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{self._name}: run returned {len(results)} results for {len(batch)} items")
        except Exception as error:  # fails this batch only
            results = [error] * len(batch)
        finally:
            task = asyncio.current_task()
            assert task is not None
            del self._running[task]
            self.finished_at = time.monotonic()
            self.running_since = self.finished_at if self._running else None
            if not self._closed or self._queue:
                self._start_batches()
        seconds = loop.time() - started_at
        self._observer.on_batch_finished(len(batch), seconds)
        if self._cost_of is not None and not all(entry.is_probe for entry in batch):
            self._latency_model.observe(len(batch), sum(entry.cost for entry in batch), seconds)
        for entry, result in zip(batch, results, strict=True):
            if entry.waiter.done():
                continue
            if isinstance(result, Exception):
                entry.waiter.set_exception(result)
            else:
                entry.waiter.set_result(result)

    def _expire(self, entry: QueueEntry[Item, Result]) -> None:
        self._queue.pop(entry, None)
        if not entry.waiter.done():
            entry.waiter.set_exception(self._reject("deadline"))

    def _reject(self, reason: str) -> ServiceError:
        """Report the rejection and build its error."""
        self._observer.on_rejected(reason)
        if reason == "draining":
            return Draining()
        if reason == "deadline":
            return DeadlineExceeded(f"{self._name}: the deadline passed")
        drained_s = self._predict_wait_s(asyncio.get_running_loop().time(), 0) or 1.0
        is_full = reason == "overloaded"
        cause = f"{self._queue_limit} requests already wait" if is_full else "the deadline cannot be met"
        return Overloaded(f"{self._name}: {cause}; retry later", retry_after_s=drained_s)
