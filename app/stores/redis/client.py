"""One way into Redis for everything in this package: bounded, timed, and with one kind of error.

Knows the clients' types, and how to run many scripts in one round trip per server. Knows no key and no format.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha1
from importlib.resources import files
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError

from app.errors import StoreUnavailable
from app.stores.redis.cluster_pipelines import ClusterCommandPipeline
from app.stores.redis.pipelines import REDIS_ERRORS, Command, CommandPipeline, ReplicaAcks, ServerCommandPipeline

RedisClient = Redis | RedisCluster


def make_pipeline(client: RedisClient) -> CommandPipeline:
    """The way to the servers of this client."""
    return ClusterCommandPipeline(client) if isinstance(client, RedisCluster) else ServerCommandPipeline(client)


class StoreObserver(Protocol):
    """What a store tells its metrics."""

    def observe(self, operation: str, seconds: float, error: bool) -> None: ...


class NullStoreObserver:
    def observe(self, operation: str, seconds: float, error: bool) -> None: ...


class StoreOperation:
    """One that runs. `partially_failed`: it counts as failed, though some of its callers have their answer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.partially_failed = False

    def to_store_unavailable(self, error: Exception) -> StoreUnavailable:
        """What its callers are told."""
        return StoreUnavailable(f"Redis did not do {self._name!r}: {(str(error) or type(error).__name__)[:200]}")


class ConcurrencyLimiter:
    """Lets at most `max_in_flight` operations in at once, each waiting at most `wait_s`.

    The pools of Sentinel and Cluster raise at once when they are exhausted; with the gate no pool gets there.
    """

    def __init__(self, *, max_in_flight: int, wait_s: float, observer: StoreObserver | None = None) -> None:
        self._free = asyncio.Semaphore(max_in_flight)
        self._wait_s = wait_s
        self._observer: StoreObserver = observer or NullStoreObserver()

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator["StoreOperation"]:
        began = time.perf_counter()
        operation = StoreOperation(name)
        failed = True
        try:
            await self._enter()
            try:
                yield operation
            finally:
                self._free.release()
            failed = operation.partially_failed
        except REDIS_ERRORS as error:
            raise operation.to_store_unavailable(error) from error
        except asyncio.CancelledError:
            failed = False  # the caller left; that says nothing about the store
            raise
        finally:
            self._observer.observe(name, time.perf_counter() - began, failed)

    async def _enter(self) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise TimeoutError(f"no connection was free within {self._wait_s} s") from None


class Script:
    """A Lua file of this package, sent once per server and then called by its hash."""

    def __init__(self, name: str) -> None:
        self._text = files("app.stores").joinpath(name).read_text()
        self._sha = sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(
        self,
        redis: CommandPipeline,
        calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]],
        replicas: ReplicaAcks | None = None,
    ) -> list[Any]:
        """The answers to (keys, arguments) pairs, in order; every call is atomic, the whole is not.

        If some of the calls fail the first error is raised after all have been tried.
        """
        commands = [Command(keys[0], ("EVALSHA", self._sha, len(keys), *keys, *arguments)) for keys, arguments in calls]
        answers = await redis.send(commands, replicas=replicas)
        unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # a new or restarted server, or a new primary; nothing of these calls has run
            again = await redis.send([commands[index] for index in unknown], script=self._text, replicas=replicas)
            for index, answer in zip(unknown, again, strict=True):
                answers[index] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers
