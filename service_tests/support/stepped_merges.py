"""Merges that tests hold in front of any step. One that is held for ever is like one whose process died there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.stores.history import HistoryStore
from app.stores.merges import MergeResult


class SteppedMerge:
    """A merge that runs one step per `advance`; without a target, the erasure of the source."""

    def __init__(self, store: HistoryStore, source: str, target: str = "") -> None:
        self._pauses: asyncio.Queue[str] = asyncio.Queue()
        self._permissions: asyncio.Queue[None] = asyncio.Queue()
        self._is_held = False
        self.source, self.target = source, target
        merges = store.make_merges(self._on_step)
        self.task: asyncio.Task[MergeResult | int] = asyncio.create_task(
            merges.merge(source, target) if target else merges.erase(source)
        )

    async def advance(self) -> str | None:
        """Run the step that the merge waits in front of, and return the one after it; None at the end."""
        if self.task.done():
            return None
        if self._is_held:
            self._permissions.put_nowait(None)
        pause = asyncio.create_task(self._pauses.get())
        await asyncio.wait({pause, self.task}, return_when=asyncio.FIRST_COMPLETED)
        self._is_held = pause.done()
        if self._is_held:
            return pause.result()
        pause.cancel()
        return None

    async def advance_to(self, step: str) -> None:
        """Run until the merge waits in front of a step."""
        while (next_step := await self.advance()) != step:
            assert next_step is not None, f"the merge has no step {step}"

    async def finish(self) -> MergeResult:
        await self.run_to_end()
        result = await self.task
        assert isinstance(result, MergeResult)
        return result

    async def run_to_end(self) -> None:
        while await self.advance() is not None:
            pass
        await self.task

    async def _on_step(self, step: str) -> None:
        self._pauses.put_nowait(step)
        await self._permissions.get()


@asynccontextmanager
async def hold_merges(store: HistoryStore) -> AsyncIterator[Callable[[str, str], SteppedMerge]]:
    """Yield what starts a merge of (source, target); those that did not finish are cancelled behind the block."""
    merges: list[SteppedMerge] = []

    def start(source: str, target: str) -> SteppedMerge:
        merges.append(SteppedMerge(store, source, target))
        return merges[-1]

    try:
        yield start
    finally:
        for merge in merges:
            merge.task.cancel()
        await asyncio.gather(*(merge.task for merge in merges), return_exceptions=True)
