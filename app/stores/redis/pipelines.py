"""Many commands in one round trip, with one reply or error per command, and waiting for replicas.

`ServerCommandPipeline` talks to one server, whether given or found by Sentinel; `cluster_pipelines.py` to many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError

# redis-py lets plain OSErrors (TimeoutError is one) through in a few places: TLS, DNS, cluster discovery.
REDIS_ERRORS = (RedisError, RedisClusterException, OSError)

Args = tuple[Any, ...]
"""The name and arguments of a command."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command for the server that holds `key`."""

    key: bytes
    args: Args


@dataclass(frozen=True, slots=True)
class ReplicaAcks:
    """How many replicas must acknowledge a write, and how long to wait for them."""

    count: int
    timeout_ms: int

    def __post_init__(self) -> None:
        assert self.count >= 1, "waiting needs at least one replica"
        assert self.timeout_ms >= 1, "Redis reads 0 ms as no timeout"


class NotReplicated(RedisError):
    """Too few replicas acknowledged the write. It was applied, but may be lost with the server."""


class CommandPipeline(Protocol):
    """Sends commands to Redis. A failure of Redis is not raised but returned in place of the reply."""

    async def send(
        self, commands: Sequence[Command], *, script: str | None = None, replicas: ReplicaAcks | None = None
    ) -> list[Any]:
        """Return a reply or an Exception per command, in order; each command is atomic, the list is not.

        `script` is loaded first, in the same round trip. With `replicas`, a reply means that enough of them have the
        write; otherwise it is NotReplicated.
        """

    async def get_values(self, keys: Sequence[bytes]) -> list[bytes | Exception | None]:
        """Return the value of each key, or an Exception where it could not be read."""

    async def broadcast(self, commands: Sequence[Args]) -> list[list[Any]]:
        """Send the commands to every primary; return a list of replies or Exceptions per primary."""

    def node_for(self, key: bytes) -> str:
        """Name the server that currently holds `key`; a cluster may move it at any time."""


class ServerCommandPipeline:
    """Commands to one server. The client's single retry is the only one; it finds the new primary after a failover."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def send(
        self, commands: Sequence[Command], *, script: str | None = None, replicas: ReplicaAcks | None = None
    ) -> list[Any]:
        pipeline: Any = self._client.pipeline(transaction=False)
        for args in add_load_and_wait([command.args for command in commands], script, replicas):
            pipeline.execute_command(*args)
        try:
            replies = await pipeline.execute(raise_on_error=False)
        except REDIS_ERRORS as error:
            return [error] * len(commands)
        return unwrap_replies(replies, script, replicas)

    async def get_values(self, keys: Sequence[bytes]) -> list[bytes | Exception | None]:
        try:
            values: list[Any] = await self._client.mget(keys)
        except REDIS_ERRORS as error:
            return [error] * len(keys)
        return values

    async def broadcast(self, commands: Sequence[Args]) -> list[list[Any]]:
        return [await self.send([Command(b"", args) for args in commands])]

    def node_for(self, key: bytes) -> str:  # noqa: ARG002 - there is only one server
        return ""


def add_load_and_wait(commands: Sequence[Args], script: str | None, replicas: ReplicaAcks | None) -> list[Args]:
    """Add SCRIPT LOAD in front and WAIT behind; one WAIT covers all writes before it without another round trip."""
    load = [("SCRIPT LOAD", script)] if script is not None else []
    wait = [("WAIT", replicas.count, replicas.timeout_ms)] if replicas is not None else []
    return [*load, *commands, *wait]


def unwrap_replies(replies: list[Any], script: str | None, replicas: ReplicaAcks | None) -> list[Any]:
    """Drop the replies that `add_load_and_wait` caused, and replace replies by an error if too few replicas wrote."""
    command_replies = replies[int(script is not None) : len(replies) - int(replicas is not None)]
    if replicas is None:
        return command_replies
    ack_count = replies[-1]
    if isinstance(ack_count, Exception):
        failure: Exception = ack_count
    elif ack_count < replicas.count:
        failure = NotReplicated(
            f"not acknowledged: {ack_count} of {replicas.count} replicas had it within {replicas.timeout_ms} ms"
        )
    else:
        return command_replies
    return [reply if isinstance(reply, Exception) else failure for reply in command_replies]
