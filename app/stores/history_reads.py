"""Histories read together: one MGET for all that were asked for in one tick of the event loop, or while others run.

A command costs the client over a hundred microseconds, another key in it hardly one. A cluster is asked node by node,
and a node that is away fails the readers of its own users alone. Knows the keys and layout of what
a model reads; deadlines, bounds and callers that leave are the batcher's business.
"""

import asyncio
from collections.abc import Sequence

from app.batching.batcher import Batcher, BatchObserver
from app.errors import Draining
from app.stores.keys import build_items_key
from app.stores.redis.client import ConcurrencyLimiter
from app.stores.redis.pipelines import CommandPipeline
from app.stores.results import StoredHistory, decode_history

MAX_USERS_PER_READ = 256  # in one MGET: some 3 MB of histories at their longest usual length
MAX_IDLE_READERS = 64
MAX_READS_IN_FLIGHT = 2  # of a server, so that an answer on its way does not keep the next question back


class HistoryReads:
    def __init__(
        self,
        redis: CommandPipeline,
        limiter: ConcurrencyLimiter,
        *,
        queue_limit: int,
        observer: BatchObserver | None = None,
    ) -> None:
        self._redis = redis
        self._limiter = limiter
        self._queue_limit = queue_limit
        self._observer = observer
        self._batchers: dict[str, Batcher[str, StoredHistory]] = {}
        """By server: who waits for one that is silent keeps nobody from the others."""
        self._closed = False

    async def read(self, user_id: str, deadline: float | None = None) -> StoredHistory:
        """StoreUnavailable reaches everyone whose read was in a command that failed.

        DeadlineExceeded at the deadline, Overloaded when too many wait, Draining after `close`, InvalidRequest for an id
        that is no text.
        """
        key = build_items_key(user_id)  # an impossible id fails its own caller, not the others of the command
        return await self._batcher_of(self._redis.node_for(key)).submit(user_id, deadline)

    async def close(self, timeout_s: float) -> None:
        """Finish what waits, for at most `timeout_s`."""
        self._closed = True
        await asyncio.gather(*(batcher.close(timeout_s) for batcher in self._batchers.values()))

    def _batcher_of(self, server: str) -> Batcher[str, StoredHistory]:
        if server in self._batchers:
            return self._batchers[server]
        if self._closed:
            raise Draining
        if len(self._batchers) >= MAX_IDLE_READERS:  # they come and go over the years
            self._batchers = {name: other for name, other in self._batchers.items() if not other.is_idle}
        self._batchers[server] = Batcher(
            self._together,
            max_batch=MAX_USERS_PER_READ,
            queue_limit=self._queue_limit,
            name="history",
            concurrency=MAX_READS_IN_FLIGHT,
            observer=self._observer,
        )
        return self._batchers[server]

    async def _together(self, user_ids: list[str]) -> Sequence[StoredHistory | Exception]:
        """One history per id, in their order; a user asked about by several is read once and told to all."""
        users = list(dict.fromkeys(user_ids))
        async with self._limiter.slot("recent") as operation:
            values = await self._redis.values([build_items_key(user_id) for user_id in users])
            errors = [value for value in values if isinstance(value, Exception)]
            if len(errors) == len(values):
                raise errors[0]
            operation.partially_failed = bool(errors)
        answers: dict[str, StoredHistory | Exception] = {
            user: operation.to_store_unavailable(value) if isinstance(value, Exception) else decode_history(value)
            for user, value in zip(users, values, strict=True)
        }
        return [answers[user_id] for user_id in user_ids]
