"""Dynamic batching without a timer: a batch is whatever queued up while the one before it ran.

An idle batcher runs at the next tick of the event loop, so lone requests wait for nobody and requests of one tick go
together. It knows deadlines, bounds and cancelled callers, and with a forecast it refuses at once who would be late. It
knows no model, no HTTP and no Redis: `run` is any coroutine function from a list of items to one result (or one
exception) per item.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.batching.latency_model import BatchLatencyModel
from app.batching.observer import BatchObserver, NullBatchObserver
from app.errors import DeadlineExceeded, Draining, Overloaded, ServiceError

Item = TypeVar("Item")
Result = TypeVar("Result")

CANCEL_GRACE_S = 1.0


@dataclass(slots=True, eq=False)
class _Entry(Generic[Item, Result]):
    item: Item
    waiter: asyncio.Future[Result]
    arrived: float
    deadline: float | None
    work: float


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
        work: Callable[[Item], float] | None = None,
    ) -> None:
        """`work` says what an item costs, in any unit, and turns the forecast on, which needs a concurrency of 1."""
        assert min(max_batch, queue_limit, concurrency) >= 1, f"{name}: bounds start at 1"
        self._run = run
        self._max_batch = max_batch
        self._queue_limit = queue_limit
        self._name = name
        self._concurrency = concurrency
        self._observer: BatchObserver = observer or NullBatchObserver()
        assert work is None or concurrency == 1, f"{name}: a forecast is for one batch after another"
        self._work = work
        self._latency_model = BatchLatencyModel()
        self._busy_until = 0.0  # by the forecast of the batch that runs
        # Ordered, with removal from anywhere: who gave up must not take up room in a bounded queue.
        self._queue: OrderedDict[_Entry[Item, Result], None] = OrderedDict()
        self._running: dict[asyncio.Task[None], list[_Entry[Item, Result]]] = {}
        self._wake_up: asyncio.Handle | None = None
        self._context = Context()  # a batch belongs to no request: else its log lines would bear the id of the first
        self._closed = False

    @property
    def depth(self) -> int:
        """Entries that wait for their batch to start."""
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self._queue and not self._running

    async def submit(self, item: Item, deadline: float | None = None) -> Result:
        """The result for one item; `deadline` is a value of the running loop's `time()`."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._closed:
            raise self._rejection("draining")
        if deadline is not None and now >= deadline:
            raise self._rejection("deadline")
        if len(self._queue) >= self._queue_limit:
            raise self._rejection("overloaded")
        if deadline is not None and self._running and now + self._wait_s(now, 1) >= deadline:
            raise self._rejection("late")
        work = 0.0 if self._work is None else self._work(item)
        entry = _Entry[Item, Result](item, loop.create_future(), now, deadline, work)
        self._queue[entry] = None
        if self._wake_up is None and len(self._running) < self._concurrency:
            self._wake_up = loop.call_soon(self._start_batches, context=self._context)
        # A timer per waiter, because the run itself may hang: the waiter leaves on time in any case.
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

    def _wait_s(self, now: float, more: int) -> float:
        """Until the queue and `more` entries behind it have run; 0 as long as nothing is known."""
        if self._work is None or not self._latency_model.is_ready:
            return 0.0
        entries = len(self._queue) + more
        batches = -(-entries // self._max_batch)
        queued = self._latency_model.predict(batches, entries, entries * self._latency_model.mean_work)
        return max(0.0, self._busy_until - now) + queued

    def predict_run_s(self, items: Sequence[Item]) -> float:
        """How long a batch of these will run; infinite as long as nothing is known."""
        if self._work is None or not self._latency_model.is_ready:
            return float("inf")
        return self._latency_model.predict(1, len(items), sum(map(self._work, items)))

    async def close(self, timeout_s: float) -> None:
        """Refuse new items, finish what is there; after `timeout_s` the rest fails with Draining."""
        self._closed = True
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while (self._queue or self._running) and loop.time() < end:
            if self._running:
                await asyncio.wait(self._running, timeout=end - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0)  # the start of the queued ones is already scheduled
        left = [*self._queue, *(entry for batch in self._running.values() for entry in batch)]
        self._queue.clear()
        for entry in left:
            if not entry.waiter.done():
                entry.waiter.set_exception(self._rejection("draining"))
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CANCEL_GRACE_S)

    def _start_batches(self) -> None:
        self._wake_up = None
        loop = asyncio.get_running_loop()
        while self._queue and len(self._running) < self._concurrency:
            now = loop.time()
            batch: list[_Entry[Item, Result]] = []
            while self._queue and len(batch) < self._max_batch:
                entry, _ = self._queue.popitem(last=False)
                if entry.deadline is not None and now >= entry.deadline:
                    self._expire(entry)  # the loop was busy and its timer is late
                elif not entry.waiter.done():
                    batch.append(entry)
            if batch:
                self._observer.on_batch_started([now - entry.arrived for entry in batch])
                self._busy_until = now + self._latency_model.predict(1, len(batch), sum(entry.work for entry in batch))
                self._running[loop.create_task(self._run_batch(batch), name=f"{self._name}-batch")] = batch

    async def _run_batch(self, batch: list[_Entry[Item, Result]]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        results: Sequence[Result | Exception]
        try:
            results = await self._run([entry.item for entry in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{self._name}: {len(results)} results for {len(batch)} items")
        except Exception as error:  # this batch fails, the batcher lives on
            results = [error] * len(batch)
        finally:
            task = asyncio.current_task()
            assert task is not None
            del self._running[task]
            if not self._closed or self._queue:
                self._start_batches()
        seconds = loop.time() - began
        self._observer.on_batch_finished(len(batch), seconds)
        if self._work is not None:
            self._latency_model.observe(len(batch), sum(entry.work for entry in batch), seconds)
        for entry, result in zip(batch, results, strict=True):
            if entry.waiter.done():
                continue
            if isinstance(result, Exception):
                entry.waiter.set_exception(result)
            else:
                entry.waiter.set_result(result)

    def _expire(self, entry: _Entry[Item, Result]) -> None:
        self._queue.pop(entry, None)
        if not entry.waiter.done():
            entry.waiter.set_exception(self._rejection("deadline"))

    def _rejection(self, reason: str) -> ServiceError:
        self._observer.on_rejected(reason)
        if reason in ("overloaded", "late"):
            drained_s = self._wait_s(asyncio.get_running_loop().time(), 0) or 1.0
            what = f"{self._queue_limit} already wait" if reason == "overloaded" else "the answer would be late"
            return Overloaded(f"{self._name}: {what}", retry_after_s=drained_s)
        if reason == "draining":
            return Draining()
        return DeadlineExceeded(f"{self._name}: the deadline passed")
