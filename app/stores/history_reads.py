"""Batched reads of histories: one MGET for all reads of an event loop tick, or for those that queue behind others.

A command costs the client over a hundred microseconds, each additional key about one. Each cluster node has its own
queue, so a node that is down fails only the reads of users in its slots. The batcher handles deadlines,
limits and cancellation.
"""

import asyncio
from collections.abc import Sequence

from app.batching.batcher import Batcher
from app.batching.observer import BatchObserver
from app.errors import DamagedHistory, Draining
from app.stores.keys import build_items_key
from app.stores.redis.client import ConcurrencyLimiter
from app.stores.redis.pipelines import CommandPipeline
from app.stores.results import StoredHistory, decode_history

MAX_USERS_PER_READ = 256  # about 3 MB of histories of 1,000 events
MAX_IDLE_BATCHERS = 64
MAX_READS_IN_FLIGHT = 2  # per node: the next read is sent before the reply to the previous one arrives


class HistoryReads:
    """Reads histories by user id; concurrent callers share commands."""

    def __init__(
        self,
        pipeline: CommandPipeline,
        limiter: ConcurrencyLimiter,
        *,
        queue_limit: int,
        observer: BatchObserver | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._limiter = limiter
        self._queue_limit = queue_limit
        self._observer = observer
        self._batchers: dict[str, Batcher[bytes, StoredHistory]] = {}
        """By node, so that reads from an unresponsive node do not delay reads from other nodes."""
        self._is_closed = False

    async def read(self, user_id: str, deadline: float | None = None) -> StoredHistory:
        """Read the history of a user.

        InvalidId for an id that cannot be a key; DamagedHistory if its value cannot be decoded; StoreUnavailable if the
        command that held this read failed; DeadlineExceeded at the deadline; Overloaded if the queue is full; Draining
        after `close`.
        """
        key = build_items_key(user_id)  # before queueing: an invalid id must not fail the whole command
        return await self._get_batcher(self._pipeline.node_for(key)).submit(key, deadline)

    async def close(self, timeout_s: float) -> None:
        """Finish queued reads, for at most `timeout_s`."""
        self._is_closed = True
        await asyncio.gather(*(batcher.close(timeout_s) for batcher in self._batchers.values()))

    def _get_batcher(self, node: str) -> Batcher[bytes, StoredHistory]:
        if node in self._batchers:
            return self._batchers[node]
        if self._is_closed:
            raise Draining
        if len(self._batchers) >= MAX_IDLE_BATCHERS:  # nodes are replaced over the years
            self._batchers = {name: batcher for name, batcher in self._batchers.items() if not batcher.is_idle}
        self._batchers[node] = Batcher(
            self._read_batch,
            max_batch=MAX_USERS_PER_READ,
            queue_limit=self._queue_limit,
            name="history",
            concurrency=MAX_READS_IN_FLIGHT,
            observer=self._observer,
        )
        return self._batchers[node]

    async def _read_batch(self, keys: list[bytes]) -> Sequence[StoredHistory | Exception]:
        """Read one history per key, in their order; a key that several callers wait for is read once."""
        unique_keys = list(dict.fromkeys(keys))
        async with self._limiter.slot("recent") as operation:
            values = await self._pipeline.get_values(unique_keys)
            errors = [value for value in values if isinstance(value, Exception)]
            if len(errors) == len(values):
                raise errors[0]
            operation.partially_failed = bool(errors)
            histories: dict[bytes, StoredHistory | Exception] = {}
            for key, value in zip(unique_keys, values, strict=True):
                if isinstance(value, Exception):
                    histories[key] = operation.to_store_unavailable(value)
                    continue
                try:
                    histories[key] = decode_history(value)
                except DamagedHistory as error:  # of this user only
                    histories[key] = error
                    operation.partially_failed = True
        return [histories[key] for key in keys]
