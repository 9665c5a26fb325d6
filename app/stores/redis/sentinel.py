"""Sentinel client with single-flight discovery of the primary.

redis-py queries the Sentinels for every new connection and moves the one that answered to the front of its list. Two
concurrent queries, as at a failover, can leave one Sentinel in the list twice and drop another, which is then neither
queried again nor closed.
"""

import asyncio
from typing import Any

from redis.asyncio.sentinel import Sentinel


class SingleFlightSentinel(Sentinel):
    """Runs at most one query at a time; concurrent callers share its result."""

    def __init__(self, sentinels: Any, **options: Any) -> None:
        super().__init__(sentinels, **options)  # type: ignore[no-untyped-call]
        self._query: asyncio.Task[Any] | None = None

    async def discover_master(self, service_name: str) -> Any:
        """Return host and port of the primary; MasterNotFoundError if no Sentinel knows one that is up."""
        if self._query is None or self._query.done():
            self._query = asyncio.create_task(super().discover_master(service_name), name="sentinel")
            self._query.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._query)

    async def aclose(self) -> None:
        if self._query is not None:
            self._query.cancel()
        await super().aclose()


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Mark an error as retrieved: asyncio logs it otherwise, if every caller was cancelled before."""
    if not task.cancelled():
        task.exception()
