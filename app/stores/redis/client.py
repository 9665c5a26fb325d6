"""Redis access for this package: limited concurrency, measured operations, and one kind of error."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha1
from importlib.resources import files
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError, ResponseError

from app.errors import StoreUnavailable
from app.stores.redis.cluster_pipelines import ClusterCommandPipeline
from app.stores.redis.pipelines import (
    REDIS_ERRORS,
    Command,
    CommandPipeline,
    PipelineLimits,
    ServerCommandPipeline,
    WriteAcks,
)

RedisClient = Redis | RedisCluster


def make_pipeline(client: RedisClient, limits: PipelineLimits | None = None) -> CommandPipeline:
    """Make the command pipeline that fits this kind of client."""
    if isinstance(client, RedisCluster):
        return ClusterCommandPipeline(client, limits)
    return ServerCommandPipeline(client, limits)


def is_cluster(client: RedisClient) -> bool:
    return isinstance(client, RedisCluster)


class StoreObserver(Protocol):
    """Receives the duration and outcome of every store operation, for metrics."""

    def observe(self, operation: str, seconds: float, error: bool) -> None: ...


class NullStoreObserver:
    def observe(self, operation: str, seconds: float, error: bool) -> None: ...


class StoreOperation:
    """A running operation. `partially_failed` counts it as failed although some of its callers get a result."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.partially_failed = False

    def to_store_unavailable(self, error: Exception) -> StoreUnavailable:
        """Convert an error of Redis to the error that callers see."""
        return StoreUnavailable(f"Redis operation {self._name!r} failed: {(str(error) or type(error).__name__)[:200]}")


class ConcurrencyLimiter:
    """Runs at most `max_in_flight` operations at a time; each waits at most `wait_s` for a slot.

    The connection pools of Sentinel and Cluster raise immediately when they are exhausted, which this prevents.
    """

    def __init__(self, *, max_in_flight: int, wait_s: float, observer: StoreObserver | None = None) -> None:
        self._free_slots = asyncio.Semaphore(max_in_flight)
        self._wait_s = wait_s
        self._observer: StoreObserver = observer or NullStoreObserver()

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[StoreOperation]:
        """Hold a slot for the operation `name`, and convert errors of Redis to StoreUnavailable."""
        started_at = time.perf_counter()
        operation = StoreOperation(name)
        failed = True
        try:
            await self._acquire()
            try:
                yield operation
            finally:
                self._free_slots.release()
            failed = operation.partially_failed
        except REDIS_ERRORS as error:
            raise operation.to_store_unavailable(error) from error
        except asyncio.CancelledError:
            failed = False  # cancelled by the caller: neither a success nor a failure of Redis
            raise
        finally:
            self._observer.observe(name, time.perf_counter() - started_at, failed)

    async def _acquire(self) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free_slots.acquire()
        except TimeoutError:
            raise TimeoutError(f"no connection was free within {self._wait_s} s") from None


class Script:
    """A Lua script of this package, in one file or several: sent once per server, then called by its hash."""

    def __init__(self, *names: str) -> None:
        self._text = "".join(files("app.stores").joinpath(name).read_text() for name in names)
        self._sha = sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(
        self,
        pipeline: CommandPipeline,
        calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]],
        acks: WriteAcks | None = None,
    ) -> list[Any]:
        """Run one call per (keys, arguments) and return the replies in order; each call is atomic, the list is not.

        If some calls fail, the first error is raised after all have been tried.
        """
        replies = await self.run_each(pipeline, calls, acks)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def run_each(
        self,
        pipeline: CommandPipeline,
        calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]],
        acks: WriteAcks | None = None,
    ) -> list[Any]:
        """Run like `run`, but return the error of a call that failed in place of its reply."""
        commands = [Command(keys[0], ("EVALSHA", self._sha, len(keys), *keys, *arguments)) for keys, arguments in calls]
        replies = await pipeline.send(commands, acks=acks)
        missing = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:  # a new or restarted server, or a new primary; none of these calls has run
            retried = await pipeline.send([commands[index] for index in missing], script=self._text, acks=acks)
            for index, reply in zip(missing, retried, strict=True):
                replies[index] = reply
        return replies


_OTHER_CAUSES = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "records must come", "records and keys")
"""In errors that the server or the arguments of the script cause, not the stored values."""


def is_data_error(error: Exception) -> bool:
    """Whether a script failed because of the values under its keys, which no retry changes."""
    if type(error) is not ResponseError:  # a subclass is an error of the server
        return False
    text = str(error)
    is_from_script = "WRONGTYPE" in text or "user_script" in text
    return is_from_script and not any(cause in text for cause in _OTHER_CAUSES)
