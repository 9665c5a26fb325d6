"""Batcher: batch composition, rejections, deadlines, and isolation of entries from each other."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest

from app.batching.batcher import Batcher
from app.batching.latency_model import MIN_BATCHES
from app.errors import DeadlineExceeded, Draining, Overloaded

pytestmark = pytest.mark.anyio


@dataclass
class Recorder:
    """Doubles numbers in batches that finish when the test opens the gate, and records callbacks."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    batches: list[list[int]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    async def run(self, items: list[int]) -> Sequence[int | Exception]:
        self.batches.append(items)
        await self.gate.wait()
        return [2 * item for item in items]

    def on_batch_started(self, waits_s: Sequence[float]) -> None:
        self.waits += waits_s

    def on_batch_finished(self, size: int, seconds: float) -> None:
        self.events.append(f"finished {size}")

    def on_rejected(self, reason: str) -> None:
        self.events.append(reason)

    def on_cancelled(self) -> None:
        self.events.append("cancelled")


def make_batcher(
    recorder: Recorder,
    run: Callable[[list[int]], Awaitable[Sequence[int | Exception]]] | None = None,
    max_batch: int = 4,
    queue_limit: int = 100,
    concurrency: int = 1,
) -> Batcher[int, int]:
    return Batcher[int, int](
        run or recorder.run,
        max_batch=max_batch,
        queue_limit=queue_limit,
        name="test",
        concurrency=concurrency,
        observer=recorder,
    )


def submit_all(batcher: Batcher[int, int], *items: int, within_s: float | None = None) -> list[asyncio.Task[int]]:
    deadline = None if within_s is None else asyncio.get_running_loop().time() + within_s
    return [asyncio.create_task(batcher.submit(item, deadline)) for item in items]


async def run_ticks(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_idle_batcher_runs_immediately_with_all_entries_of_the_tick() -> None:
    recorder = Recorder()
    tasks = submit_all(make_batcher(recorder), 1, 2, 3)
    await run_ticks()
    assert recorder.batches == [[1, 2, 3]]
    recorder.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]
    assert recorder.events == ["finished 3"]
    assert len(recorder.waits) == 3
    assert max(recorder.waits) < 0.1


async def test_busy_batcher_takes_queued_entries_up_to_max_batch() -> None:
    recorder = Recorder()
    batcher = make_batcher(recorder)
    tasks = submit_all(batcher, 0)
    await run_ticks()
    for item in range(1, 7):
        tasks += submit_all(batcher, item)
        await run_ticks()
    assert recorder.batches == [[0]]
    assert batcher.depth == 6
    recorder.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8, 10, 12]
    assert recorder.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert batcher.depth == 0


async def test_concurrent_batches_are_limited_by_concurrency() -> None:
    recorder = Recorder()
    batcher = make_batcher(recorder, max_batch=1, concurrency=2)
    tasks = submit_all(batcher, 1, 2, 3)
    await run_ticks()
    assert recorder.batches == [[1], [2]]
    recorder.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_full_queue_rejects_immediately_and_serves_admitted_entries() -> None:
    recorder = Recorder()
    batcher = make_batcher(recorder, queue_limit=2)
    tasks = submit_all(batcher, 0)
    await run_ticks()
    tasks += submit_all(batcher, 1, 2)
    await run_ticks()
    with pytest.raises(Overloaded):
        await batcher.submit(3)
    recorder.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4]
    assert recorder.events[0] == "overloaded"


async def test_entry_that_expires_in_the_queue_never_runs_and_frees_its_slot() -> None:
    recorder = Recorder()
    batcher = make_batcher(recorder, queue_limit=1)
    first = submit_all(batcher, 0)
    await run_ticks()
    (expiring,) = submit_all(batcher, 1, within_s=0.02)
    with pytest.raises(DeadlineExceeded):
        await expiring
    assert batcher.depth == 0
    second = submit_all(batcher, 2)
    await run_ticks()
    recorder.gate.set()
    assert await asyncio.gather(*first, *second) == [0, 4]
    assert recorder.batches == [[0], [2]]


async def test_past_deadline_is_rejected_without_queueing() -> None:
    batcher = make_batcher(Recorder())
    with pytest.raises(DeadlineExceeded):
        await batcher.submit(1, asyncio.get_running_loop().time())
    assert batcher.depth == 0


async def test_waiters_return_at_their_deadline_when_the_run_hangs() -> None:
    recorder = Recorder()
    loop = asyncio.get_running_loop()
    batcher = make_batcher(recorder)
    started_at = loop.time()
    results = await asyncio.gather(*submit_all(batcher, 1, 2, within_s=0.05), return_exceptions=True)
    assert [type(result) for result in results] == [DeadlineExceeded] * 2
    assert loop.time() - started_at < 1
    recorder.gate.set()  # the late result has no waiter and affects no other entry
    assert await asyncio.gather(*submit_all(batcher, 3)) == [6]


async def test_cancelled_waiter_is_skipped_and_others_get_their_own_results() -> None:
    recorder = Recorder()
    batcher = make_batcher(recorder)
    running = submit_all(batcher, 0, 1)
    await run_ticks()
    queued = submit_all(batcher, 2, 3, 4)
    await run_ticks()
    running[0].cancel()
    queued[1].cancel()
    await run_ticks()
    assert batcher.depth == 2
    recorder.gate.set()
    results = await asyncio.gather(*running, *queued, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert isinstance(results[3], asyncio.CancelledError)
    assert [results[1], results[2], results[4]] == [2, 4, 8]
    assert recorder.batches == [[0, 1], [2, 4]]
    assert recorder.events.count("cancelled") == 2


async def test_exception_among_the_results_fails_only_its_entry() -> None:
    async def run(items: list[int]) -> Sequence[int | Exception]:
        return [ValueError(str(item)) if item == 2 else item for item in items]

    results = await asyncio.gather(*submit_all(make_batcher(Recorder(), run), 1, 2, 3), return_exceptions=True)
    assert [results[0], results[2]] == [1, 3]
    assert isinstance(results[1], ValueError)


async def test_run_that_raises_fails_only_its_batch() -> None:
    async def run(items: list[int]) -> Sequence[int | Exception]:
        if 0 in items:
            raise OSError("gone")
        return items

    batcher = make_batcher(Recorder(), run, max_batch=2)
    results = await asyncio.gather(*submit_all(batcher, 0, 1, 2, 3), return_exceptions=True)
    assert [type(result) for result in results[:2]] == [OSError, OSError]
    assert results[2:] == [2, 3]


async def test_run_with_too_few_results_fails_its_whole_batch() -> None:
    async def run(items: list[int]) -> Sequence[int | Exception]:
        return items[1:]

    results = await asyncio.gather(*submit_all(make_batcher(Recorder(), run), 1, 2), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, RuntimeError]


async def test_close_rejects_new_entries_and_finishes_queued_ones() -> None:
    recorder = Recorder()
    batcher = make_batcher(recorder, max_batch=1)
    tasks = submit_all(batcher, 1, 2, 3)
    await run_ticks()
    closing = asyncio.create_task(batcher.close(timeout_s=5))
    await run_ticks()
    with pytest.raises(Draining):
        await batcher.submit(4)
    recorder.gate.set()
    await closing
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_close_waits_no_longer_than_its_timeout_for_a_hanging_run() -> None:
    recorder = Recorder()
    batcher = make_batcher(recorder, max_batch=1)
    tasks = submit_all(batcher, 1, 2)
    await run_ticks()
    async with asyncio.timeout(2):
        await batcher.close(timeout_s=0.05)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [Draining, Draining]
    assert recorder.batches == [[1]]


async def test_close_of_an_idle_batcher_returns_immediately() -> None:
    async with asyncio.timeout(1):
        await make_batcher(Recorder()).close(timeout_s=60)


async def test_waiter_cancelled_just_before_its_batch_starts_does_not_run() -> None:
    recorder = Recorder()
    recorder.gate.set()
    cancelled, waiting = submit_all(make_batcher(recorder), 1, 2)
    await run_ticks(1)  # both are queued and the start is scheduled before the cancelled one can remove itself
    cancelled.cancel()
    assert await waiting == 4
    assert recorder.batches == [[2]]


async def make_trained_batcher(seconds: float, max_batch: int = 4) -> tuple[Batcher[int, int], Recorder]:
    """A batcher whose latency model has learned that every batch takes `seconds`."""
    recorder = Recorder()

    async def run(items: list[int]) -> Sequence[int | Exception]:
        await asyncio.sleep(seconds)
        return items

    batcher = Batcher[int, int](
        run, max_batch=max_batch, queue_limit=100, name="test", observer=recorder, cost_of=lambda _: 1.0
    )
    for round_ in range(MIN_BATCHES):
        await asyncio.gather(*(batcher.submit(item) for item in range(1 + round_ % max_batch)))
    return batcher, recorder


async def test_request_that_would_miss_its_deadline_is_rejected_immediately_with_retry_after() -> None:
    batcher, recorder = await make_trained_batcher(0.02)
    waiting = submit_all(batcher, *range(20))  # five batches of four
    await asyncio.sleep(0.001)
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    with pytest.raises(Overloaded, match="the deadline cannot be met; retry later") as rejection:
        await batcher.submit(0, started_at + 0.05)
    assert loop.time() - started_at < 0.01, "rejected immediately, not at the deadline"
    assert recorder.events[-1] == "deadline_unmeetable"
    assert rejection.value.retry_after_s is not None
    assert 0.06 < rejection.value.retry_after_s < 0.3
    assert await batcher.submit(7, started_at + 1.0) == 7, "a request with enough time is served"
    await asyncio.gather(*waiting)


async def test_idle_batcher_admits_requests_although_its_batches_were_slow() -> None:
    batcher, _ = await make_trained_batcher(0.02)
    with pytest.raises(DeadlineExceeded):  # it ran and took its usual time
        await batcher.submit(1, asyncio.get_running_loop().time() + 0.005)


async def test_batch_does_not_inherit_the_context_of_the_request_that_started_it() -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    contexts: list[str] = []

    async def run(items: list[int]) -> Sequence[int | Exception]:
        contexts.append(request.get())
        return list(items)

    batcher = make_batcher(Recorder(), run)
    token = request.set("the first")
    try:
        await batcher.submit(1)
    finally:
        request.reset(token)
    assert contexts == ["none"]


async def test_probe_runs_like_any_entry_and_is_not_counted() -> None:
    recorder = Recorder()
    batcher = make_batcher(recorder)
    times = [batcher.running_since]
    probe = asyncio.ensure_future(batcher.submit(21, is_probe=True))
    await asyncio.sleep(0.01)
    times.append(batcher.running_since)
    finished_before = batcher.finished_at
    recorder.gate.set()
    assert await probe == 42
    times.append(batcher.running_since)
    assert (times[0], times[2]) == (None, None)
    assert times[1] is not None
    assert time.monotonic() - times[1] < 5
    assert batcher.finished_at > finished_before
    assert (recorder.batches, recorder.waits) == ([[21]], [])


async def test_probes_do_not_train_the_latency_model() -> None:
    recorder = Recorder()
    recorder.gate.set()
    batcher = Batcher[int, int](recorder.run, max_batch=4, queue_limit=9, name="test", cost_of=float)
    for _ in range(MIN_BATCHES + 5):
        await batcher.submit(1, is_probe=True)
    assert batcher.predict_run_s([1]) == float("inf")
    for _ in range(MIN_BATCHES):
        await batcher.submit(1)
    assert batcher.predict_run_s([1]) < 60
