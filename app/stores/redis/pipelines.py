"""Many commands in one round trip, each answer or error to its own command, and the replicas that must have the writes.

Knows one server, given or found by Sentinel; `cluster_round_trips.py` does the same with many. Knows no key's meaning,
no script and no format.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError

# redis-py lets plain OSErrors (TimeoutError is one) through in a few places: TLS, DNS, cluster discovery.
REDIS_ERRORS = (RedisError, RedisClusterException, OSError)

Args = tuple[Any, ...]
"""A command as it is sent."""


@dataclass(frozen=True, slots=True)
class Command:
    """The server that holds `key` is the one to ask."""

    key: bytes
    args: Args


@dataclass(frozen=True, slots=True)
class ReplicaAcks:
    """So many replicas must have a write before it counts, and they are waited for that long."""

    count: int
    timeout_ms: int

    def __post_init__(self) -> None:
        assert self.count >= 1, "no replica needs no waiting"
        assert self.timeout_ms >= 1, "to Redis, 0 ms means for ever"


class NotReplicated(RedisError):
    """Too few replicas have the write. It is done, and may be lost all the same if the server is."""


class CommandPipeline(Protocol):
    """How commands reach Redis. Nothing is raised for a Redis that fails: its error is the answer."""

    async def send(
        self, commands: Sequence[Command], *, script: str | None = None, replicas: ReplicaAcks | None = None
    ) -> list[Any]:
        """An answer or an Exception per command, in order; each is atomic, the whole is not.

        `script` is loaded in the same round trip, in front. With `replicas` an answer means that they have the write,
        else it is NotReplicated.
        """

    async def values(self, keys: Sequence[bytes]) -> list[bytes | Exception | None]:
        """What lies under each key, an Exception where that is not known."""

    async def broadcast(self, args: Sequence[Args]) -> list[list[Any]]:
        """The answer of every primary to each of these, an Exception where there is none."""

    def node_for(self, key: bytes) -> str:
        """A name for the server that is asked about this key; it may be another one a moment later."""


class ServerCommandPipeline:
    """To one server. The client's own single retry is all there is: it finds the primary anew after a fail-over."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def send(
        self, commands: Sequence[Command], *, script: str | None = None, replicas: ReplicaAcks | None = None
    ) -> list[Any]:
        pipeline: Any = self._client.pipeline(transaction=False)
        for args in add_load_and_wait([command.args for command in commands], script, replicas):
            pipeline.execute_command(*args)
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except REDIS_ERRORS as error:
            return [error] * len(commands)
        return unwrap_replies(answers, script, replicas)

    async def values(self, keys: Sequence[bytes]) -> list[bytes | Exception | None]:
        try:
            values: list[Any] = await self._client.mget(keys)
        except REDIS_ERRORS as error:
            return [error] * len(keys)
        return values

    async def broadcast(self, args: Sequence[Args]) -> list[list[Any]]:
        return [await self.send([Command(b"", one) for one in args])]

    def node_for(self, key: bytes) -> str:  # noqa: ARG002 - it is always this one
        return ""


def add_load_and_wait(args: Sequence[Args], script: str | None, replicas: ReplicaAcks | None) -> list[Args]:
    """What goes over one connection: a WAIT at the end is for all writes before it and costs no further round trip."""
    first = [("SCRIPT LOAD", script)] if script is not None else []
    last = [("WAIT", replicas.count, replicas.timeout_ms)] if replicas is not None else []
    return [*first, *args, *last]


def unwrap_replies(answers: list[Any], script: str | None, replicas: ReplicaAcks | None) -> list[Any]:
    """The answers to the words themselves, and errors in place of those that too few replicas have."""
    own = answers[int(script is not None) : len(answers) - int(replicas is not None)]
    if replicas is None:
        return own
    have = answers[-1]
    if isinstance(have, Exception):
        missing: Exception = have
    elif have < replicas.count:
        missing = NotReplicated(
            f"not acknowledged: {have} of {replicas.count} replicas had it within {replicas.timeout_ms} ms"
        )
    else:
        return own
    return [answer if isinstance(answer, Exception) else missing for answer in own]
