"""Histories read together: one MGET for all that were asked for in one tick of the event loop, or while others run.

A command costs the client over a hundred microseconds, another key in it hardly one. Knows the keys and layout of what
a model reads; deadlines, bounds and callers that leave are the batcher's business.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio.cluster import RedisCluster

from app.batch_observer import BatchObserver
from app.batcher import Batcher
from app.stores.answers import StoredHistory, stored_history
from app.stores.client import Gate, RedisClient
from app.stores.keys import items_key

MOST_USERS = 256  # in one MGET: some 3 MB of histories at their longest usual length
IN_FLIGHT = 2  # so that an answer on its way does not keep the next question back


class HistoryReads:
    def __init__(
        self, client: RedisClient, gate: Gate, *, queue_limit: int, observer: BatchObserver | None = None
    ) -> None:
        self._client = client
        self._gate = gate
        self._batcher = Batcher[str, StoredHistory](
            self._together,
            max_batch=MOST_USERS,
            queue_limit=queue_limit,
            name="history",
            concurrency=IN_FLIGHT,
            observer=observer,
        )

    async def of(self, user_id: str, deadline: float | None = None) -> StoredHistory:
        """StoreUnavailable reaches everyone whose read was in the command that failed.

        DeadlineExceeded at the deadline, Overloaded when too many wait, Draining after `close`, BadRequest for an id
        that is no text.
        """
        items_key(user_id)  # an impossible id fails its own caller, not the others of the command
        return await self._batcher.submit(user_id, deadline)

    async def close(self, timeout_s: float) -> None:
        """Finish what waits, for at most `timeout_s`."""
        await self._batcher.close(timeout_s)

    async def _together(self, user_ids: list[str]) -> Sequence[StoredHistory]:
        """One history per id, in their order; a user asked about by several is read once and told to all."""
        users = list(dict.fromkeys(user_ids))
        keys = [items_key(user_id) for user_id in users]
        async with self._gate.operation("recent"):
            if isinstance(self._client, RedisCluster):
                values: list[Any] = await self._client.mget_nonatomic(keys)  # one MGET per slot
            else:
                values = await self._client.mget(keys)
        histories = dict(zip(users, map(stored_history, values), strict=True))
        return [histories[user_id] for user_id in user_ids]
