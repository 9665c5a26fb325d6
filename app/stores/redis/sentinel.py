"""Who the primary is, by the word of the Sentinels: asked once for all who wait to know.

redis-py asks for every connection that is opened, and puts the Sentinel that answered in front. When many ask at once,
as at a fail-over, two such exchanges can leave one Sentinel in the list twice and another nowhere: it is not asked
again, nor closed. Knows nothing of what the primary is for.
"""

import asyncio
from typing import Any

from redis.asyncio.sentinel import Sentinel


class SingleFlightSentinel(Sentinel):
    """At most one question at a time; who comes while it is under way gets its answer."""

    def __init__(self, sentinels: Any, **options: Any) -> None:
        super().__init__(sentinels, **options)  # type: ignore[no-untyped-call]
        self._asking: asyncio.Task[Any] | None = None

    async def discover_master(self, service_name: str) -> Any:
        """Host and port; MasterNotFoundError when no Sentinel knows one that is up."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(super().discover_master(service_name), name="sentinel")
            self._asking.add_done_callback(_taken_note_of)
        return await asyncio.shield(self._asking)

    async def aclose(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        await super().aclose()


def _taken_note_of(task: asyncio.Task[Any]) -> None:
    """Asyncio complains of an error that nobody saw, and all who asked may have left."""
    if not task.cancelled():
        task.exception()
