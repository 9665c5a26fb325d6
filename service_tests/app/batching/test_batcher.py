"""The batcher: what goes together, what is refused, and that nobody harms a neighbour."""

import asyncio
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
    """Doubles numbers, in batches that finish when the test says so."""

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


def make(
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


def start(batcher: Batcher[int, int], *items: int, within_s: float | None = None) -> list[asyncio.Task[int]]:
    deadline = None if within_s is None else asyncio.get_running_loop().time() + within_s
    return [asyncio.create_task(batcher.submit(item, deadline)) for item in items]


async def ticks(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_idle_batcher_runs_without_waiting_and_takes_the_whole_tick() -> None:
    recorder = Recorder()
    tasks = start(make(recorder), 1, 2, 3)
    await ticks()
    assert recorder.batches == [[1, 2, 3]]
    recorder.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]
    assert recorder.events == ["finished 3"]
    assert len(recorder.waits) == 3
    assert max(recorder.waits) < 0.1


async def test_a_busy_batcher_takes_what_queued_meanwhile_and_at_most_max_batch() -> None:
    recorder = Recorder()
    batcher = make(recorder)
    tasks = start(batcher, 0)
    await ticks()
    for item in range(1, 7):
        tasks += start(batcher, item)
        await ticks()
    assert recorder.batches == [[0]]
    assert batcher.depth == 6
    recorder.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8, 10, 12]
    assert recorder.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert batcher.depth == 0


async def test_as_many_batches_run_at_once_as_allowed() -> None:
    recorder = Recorder()
    batcher = make(recorder, max_batch=1, concurrency=2)
    tasks = start(batcher, 1, 2, 3)
    await ticks()
    assert recorder.batches == [[1], [2]]
    recorder.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_a_full_queue_refuses_at_once_and_serves_who_was_let_in() -> None:
    recorder = Recorder()
    batcher = make(recorder, queue_limit=2)
    tasks = start(batcher, 0)
    await ticks()
    tasks += start(batcher, 1, 2)
    await ticks()
    with pytest.raises(Overloaded):
        await batcher.submit(3)
    recorder.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4]
    assert recorder.events[0] == "overloaded"


async def test_an_entry_that_is_late_in_the_queue_is_never_run_and_leaves_its_room() -> None:
    recorder = Recorder()
    batcher = make(recorder, queue_limit=1)
    first = start(batcher, 0)
    await ticks()
    (late,) = start(batcher, 1, within_s=0.02)
    with pytest.raises(DeadlineExceeded):
        await late
    assert batcher.depth == 0
    second = start(batcher, 2)
    await ticks()
    recorder.gate.set()
    assert await asyncio.gather(*first, *second) == [0, 4]
    assert recorder.batches == [[0], [2]]


async def test_a_deadline_in_the_past_is_refused_without_queueing() -> None:
    batcher = make(Recorder())
    with pytest.raises(DeadlineExceeded):
        await batcher.submit(1, asyncio.get_running_loop().time())
    assert batcher.depth == 0


async def test_waiters_leave_at_their_deadline_even_when_the_run_hangs() -> None:
    recorder = Recorder()
    loop = asyncio.get_running_loop()
    batcher = make(recorder)
    began = loop.time()
    results = await asyncio.gather(*start(batcher, 1, 2, within_s=0.05), return_exceptions=True)
    assert [type(result) for result in results] == [DeadlineExceeded] * 2
    assert loop.time() - began < 1
    recorder.gate.set()  # the late result finds nobody and harms nobody
    assert await asyncio.gather(*start(batcher, 3)) == [6]


async def test_a_cancelled_waiter_is_skipped_and_its_neighbours_get_their_own_results() -> None:
    recorder = Recorder()
    batcher = make(recorder)
    running = start(batcher, 0, 1)
    await ticks()
    queued = start(batcher, 2, 3, 4)
    await ticks()
    running[0].cancel()
    queued[1].cancel()
    await ticks()
    assert batcher.depth == 2
    recorder.gate.set()
    results = await asyncio.gather(*running, *queued, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert isinstance(results[3], asyncio.CancelledError)
    assert [results[1], results[2], results[4]] == [2, 4, 8]
    assert recorder.batches == [[0, 1], [2, 4]]
    assert recorder.events.count("cancelled") == 2


async def test_an_exception_among_the_results_fails_only_its_entry() -> None:
    async def run(items: list[int]) -> Sequence[int | Exception]:
        return [ValueError(str(item)) if item == 2 else item for item in items]

    results = await asyncio.gather(*start(make(Recorder(), run), 1, 2, 3), return_exceptions=True)
    assert [results[0], results[2]] == [1, 3]
    assert isinstance(results[1], ValueError)


async def test_a_run_that_raises_fails_its_batch_and_not_the_next() -> None:
    async def run(items: list[int]) -> Sequence[int | Exception]:
        if 0 in items:
            raise OSError("gone")
        return items

    batcher = make(Recorder(), run, max_batch=2)
    results = await asyncio.gather(*start(batcher, 0, 1, 2, 3), return_exceptions=True)
    assert [type(result) for result in results[:2]] == [OSError, OSError]
    assert results[2:] == [2, 3]


async def test_a_run_with_too_few_results_fails_its_batch_and_gives_nobody_a_neighbours_result() -> None:
    async def run(items: list[int]) -> Sequence[int | Exception]:
        return items[1:]

    results = await asyncio.gather(*start(make(Recorder(), run), 1, 2), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, RuntimeError]


async def test_closing_refuses_the_new_and_finishes_the_queued() -> None:
    recorder = Recorder()
    batcher = make(recorder, max_batch=1)
    tasks = start(batcher, 1, 2, 3)
    await ticks()
    closing = asyncio.create_task(batcher.close(timeout_s=5))
    await ticks()
    with pytest.raises(Draining):
        await batcher.submit(4)
    recorder.gate.set()
    await closing
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_closing_does_not_wait_longer_than_its_timeout_for_a_run_that_hangs() -> None:
    recorder = Recorder()
    batcher = make(recorder, max_batch=1)
    tasks = start(batcher, 1, 2)
    await ticks()
    async with asyncio.timeout(2):
        await batcher.close(timeout_s=0.05)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [Draining, Draining]
    assert recorder.batches == [[1]]


async def test_closing_an_idle_batcher_returns_at_once() -> None:
    async with asyncio.timeout(1):
        await make(Recorder()).close(timeout_s=60)


async def test_a_waiter_cancelled_just_before_its_batch_starts_is_not_run() -> None:
    recorder = Recorder()
    recorder.gate.set()
    gone, stays = start(make(recorder), 1, 2)
    await ticks(1)  # both have queued and the start is scheduled, before the cancelled one can take itself out
    gone.cancel()
    assert await stays == 4
    assert recorder.batches == [[2]]


async def learned(seconds: float, max_batch: int = 4) -> tuple[Batcher[int, int], Recorder]:
    """A batcher that knows its batches to take so long, whatever is in them."""
    recorder = Recorder()

    async def run(items: list[int]) -> Sequence[int | Exception]:
        await asyncio.sleep(seconds)
        return items

    batcher = Batcher[int, int](
        run, max_batch=max_batch, queue_limit=100, name="test", observer=recorder, work=lambda _: 1.0
    )
    for round_ in range(MIN_BATCHES):
        await asyncio.gather(*(batcher.submit(item) for item in range(1 + round_ % max_batch)))
    return batcher, recorder


async def test_who_would_be_late_is_refused_at_once_and_told_when_to_come_back() -> None:
    batcher, recorder = await learned(0.02)
    waiting = start(batcher, *range(20))  # five batches of four
    await asyncio.sleep(0.001)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(Overloaded, match="the answer would be late") as refused:
        await batcher.submit(0, began + 0.05)
    assert loop.time() - began < 0.01, "refused at once, not at the deadline"
    assert recorder.events[-1] == "late"
    assert refused.value.retry_after_s is not None
    assert 0.06 < refused.value.retry_after_s < 0.3
    assert await batcher.submit(7, began + 1.0) == 7, "who has the time is served"
    await asyncio.gather(*waiting)


async def test_an_idle_batcher_refuses_nobody_because_it_was_slow_once() -> None:
    batcher, _ = await learned(0.02)
    with pytest.raises(DeadlineExceeded):  # it ran, and took what it takes
        await batcher.submit(1, asyncio.get_running_loop().time() + 0.005)


async def test_a_batch_knows_nothing_of_the_request_that_happened_to_start_it() -> None:
    asker: ContextVar[str] = ContextVar("asker", default="nobody")
    seen: list[str] = []

    async def run(items: list[int]) -> Sequence[int | Exception]:
        seen.append(asker.get())
        return list(items)

    batcher = make(Recorder(), run)
    before = asker.set("the first")
    try:
        await batcher.submit(1)
    finally:
        asker.reset(before)
    assert seen == ["nobody"]
