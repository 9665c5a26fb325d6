"""One way into Redis for everything in this package: bounded, timed, and with one kind of error.

Knows the clients' types and their errors, and how to run many scripts in one round trip. Knows no key and no format.
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
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from app.errors import StoreUnavailable

RedisClient = Redis | RedisCluster

# redis-py lets plain OSErrors (TimeoutError is one) through in a few places: TLS, DNS, cluster discovery.
REDIS_ERRORS = (RedisError, RedisClusterException, OSError)


class StoreObserver(Protocol):
    """What a store tells its metrics."""

    def observe(self, operation: str, seconds: float, error: bool) -> None: ...


class Unobserved:
    def observe(self, operation: str, seconds: float, error: bool) -> None: ...


class Gate:
    """Lets at most `max_in_flight` operations in at once, each waiting at most `wait_s`.

    The pools of Sentinel and Cluster raise at once when they are exhausted; with the gate no pool gets there.
    """

    def __init__(self, *, max_in_flight: int, wait_s: float, observer: StoreObserver | None = None) -> None:
        self._free = asyncio.Semaphore(max_in_flight)
        self._wait_s = wait_s
        self._observer: StoreObserver = observer or Unobserved()

    @asynccontextmanager
    async def operation(self, name: str) -> AsyncIterator[None]:
        began = time.perf_counter()
        failed = True
        try:
            await self._enter()
            try:
                yield
            finally:
                self._free.release()
            failed = False
        except REDIS_ERRORS as error:
            reason = str(error) or type(error).__name__
            raise StoreUnavailable(f"Redis did not do {name!r}: {reason[:200]}") from error
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

    async def run(self, client: RedisClient, calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        """The answers to (keys, arguments) pairs, in order; every call is atomic, the whole is not.

        If some of the calls fail the first error is raised after all have been tried.
        """
        answers = await self._pipeline(client, calls)
        unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # a new or restarted server; nothing of these calls has run
            await client.script_load(self._text)
            again = await self._pipeline(client, [calls[index] for index in unknown])
            for index, answer in zip(unknown, again, strict=True):
                answers[index] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _pipeline(self, client: RedisClient, calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        pipeline: Any = client.pipeline(transaction=False)
        for keys, arguments in calls:
            # Not `.evalsha`: the cluster client forbids that name in a pipeline, though routing by key works.
            pipeline.execute_command("EVALSHA", self._sha, len(keys), *keys, *arguments)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers
