"""What is asked now and then, so that /readyz and /metrics answer at once even when Redis does not."""

import asyncio

from app.errors import StoreUnavailable
from app.inference import InferenceEngine
from app.observability import STORE_MEMORY, STORE_UP, sample_process_memory
from app.stores.history import HistoryStore

EVERY_S = 2.0


class Watch:
    """`draining` is set when the service begins to shut down; `store_problem` is None while Redis answers."""

    def __init__(self, store: HistoryStore, engine: InferenceEngine) -> None:
        self._store = store
        self._engine = engine
        self.draining = False
        self.store_problem: str | None = "Redis was not asked yet"

    def sample(self) -> None:
        """Refresh the gauges of this process; cheap."""
        self._engine.sample()
        sample_process_memory()

    async def look(self) -> None:
        self.sample()
        try:
            await self._store.ping()
            STORE_MEMORY.set(await self._store.memory_bytes())
        except StoreUnavailable as error:
            self.store_problem = error.detail
            STORE_UP.set(0)
        else:
            self.store_problem = None
            STORE_UP.set(1)

    async def keep_looking(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)
