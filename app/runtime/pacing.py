"""Long work in the event loop, in pieces between which other requests are answered."""

import asyncio
from time import perf_counter

PIECE_S = 0.003


class Pacer:
    """Gives way to the event loop whenever the work since the last pause took PIECE_S."""

    def __init__(self) -> None:
        self._started_at = perf_counter()

    async def pause_if_due(self) -> None:
        """To be awaited between two short steps of the work."""
        if perf_counter() - self._started_at >= PIECE_S:
            await asyncio.sleep(0)
            self._started_at = perf_counter()
