"""Background tasks that repeat until a block ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

log = logging.getLogger("nextup")

STOP_S = 2.0
"""Longest wait for a step that is running when the block ends."""


@asynccontextmanager
async def run_periodically(
    step: Callable[[], Awaitable[None]], *, every_s: float, name: str, starts_immediately: bool = False
) -> AsyncIterator[None]:
    """Await `step` every `every_s` seconds while the block runs.

    The first step runs after one interval unless `starts_immediately`. A step that raises is logged and repeated, so a
    passing fault never ends the task. The task is stopped by an event and cancelled only after `STOP_S`: redis-py can
    swallow a cancellation in the middle of a command.
    """
    stopping = asyncio.Event()
    task = asyncio.create_task(_repeat(step, every_s, name, stopping, starts_immediately), name=name)
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait([task], timeout=STOP_S)
        task.cancel()


async def _repeat(
    step: Callable[[], Awaitable[None]], every_s: float, name: str, stopping: asyncio.Event, is_due: bool
) -> None:
    while True:
        if is_due:
            try:
                await step()
            except Exception:
                log.exception("%s failed; next try in %g s", name, every_s)
        is_due = True
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await stopping.wait()
        if stopping.is_set():
            return
