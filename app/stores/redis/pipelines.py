"""Many commands in one round trip, with one reply or error per command, and waiting for replicas and the disk.

`ServerCommandPipeline` talks to one server, whether given or found by Sentinel; `cluster_pipelines.py` to many.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import ClusterDownError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.runtime.circuit_breaker import CircuitBreaker, OnChange
from app.stores.redis.scans import Cursors, ScanStep, join_scans, make_scan

# redis-py lets plain OSErrors (TimeoutError is one) through in a few places: TLS, DNS, cluster discovery.
REDIS_ERRORS = (RedisError, RedisClusterException, OSError)
OUTAGE_ERRORS = (RedisConnectionError, RedisTimeoutError, ClusterDownError, OSError)
"""Errors of a server that is away or hangs; all others are answers."""

Args = tuple[Any, ...]
"""The name and arguments of a command."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command for the server that holds `key`."""

    key: bytes
    args: Args


@dataclass(frozen=True, slots=True)
class WriteAcks:
    """Places that must have a write before it is acknowledged: replicas, the primary's disk, or both.

    Each of the two waits may take `timeout_ms`; replicas receive the write while the primary syncs it.
    """

    replicas: int
    timeout_ms: int
    fsync: bool = False

    def __post_init__(self) -> None:
        assert self.replicas >= 1 or self.fsync, "waiting needs at least one replica or the disk"
        assert self.timeout_ms >= 1, "Redis reads 0 ms as no timeout"

    @property
    def commands(self) -> list[Args]:
        """The commands that wait for all writes before them on the same connection."""
        fsync: list[Args] = [("WAITAOF", 1, 0, self.timeout_ms)] if self.fsync else []
        replicas: list[Args] = [("WAIT", self.replicas, self.timeout_ms)] if self.replicas else []
        return [*fsync, *replicas]

    def find_failure(self, replies: Sequence[Any]) -> Exception | None:
        """Return the error of the first wait that failed, from the replies to `commands`."""
        for (name, *_), reply in zip(self.commands, replies, strict=True):
            if isinstance(reply, Exception):
                return reply
            if name == "WAITAOF" and reply[0] < 1:
                return NotOnDisk(f"not acknowledged: not on disk within {self.timeout_ms} ms")
            if name == "WAIT" and reply < self.replicas:
                return NotReplicated(
                    f"not acknowledged: {reply} of {self.replicas} replicas had it within {self.timeout_ms} ms"
                )
        return None


def make_acks(replicas: int, wait_s: float, *, fsync: bool) -> WriteAcks | None:
    """Make the acknowledgements that a write needs; None if the reply of the primary is enough."""
    return WriteAcks(replicas, max(1, round(1000 * wait_s)), fsync) if replicas or fsync else None


class NotReplicated(RedisError):
    """Too few replicas acknowledged the write. It was applied, but may be lost with the server."""


class NotOnDisk(RedisError):
    """The server did not sync the write in time. It was applied, but may be lost with the machine."""


class CircuitOpen(RedisError):
    """The server failed a moment ago, so that it gets no command until a probe succeeds."""


@dataclass(frozen=True, slots=True)
class PipelineLimits:
    """Bounds of one round trip, whatever the client does within it: connect, wait for a connection, try again.

    None is unbounded. With `on_circuit_change`, a server that fails is not used until a probe succeeds.
    """

    read_s: float | None = None
    send_s: float | None = None
    on_circuit_change: OnChange | None = None


class CommandPipeline(Protocol):
    """Sends commands to Redis. A failure of Redis is not raised but returned in place of the reply."""

    async def send(
        self, commands: Sequence[Command], *, script: str | None = None, acks: WriteAcks | None = None
    ) -> list[Any]:
        """Return a reply or an Exception per command, in order; each command is atomic, the list is not.

        `script` is loaded first, in the same round trip. With `acks`, a reply means that enough of them have the
        write, and that it is on disk where that is required; otherwise it is NotReplicated or NotOnDisk.
        """

    async def get_values(self, keys: Sequence[bytes]) -> list[bytes | Exception | None]:
        """Return the value of each key, or an Exception where it could not be read."""

    async def broadcast(self, commands: Sequence[Args]) -> list[list[Any]]:
        """Send the commands to every primary; return a list of replies or Exceptions per primary."""

    async def scan(self, cursors: Cursors | None, pattern: bytes, count: int) -> ScanStep:
        """Look at about `count` more keys of each server; return those that match, and the cursors to continue with.

        None begins. Without cursors in the answer, every key was looked at. An error is raised if no server answers.
        """

    def node_for(self, key: bytes) -> str:
        """Name the server that currently holds `key`; a cluster may move it at any time."""

    async def close(self) -> None:
        """Stop what runs in the background; the client stays open."""


class ServerCommandPipeline:
    """Commands to one server. The client's single retry is the only one; it finds the new primary after a failover."""

    def __init__(self, client: Redis, limits: PipelineLimits | None = None) -> None:
        self._client = client
        self._limits = limits or PipelineLimits()
        self._circuit: CircuitBreaker | None = None
        if self._limits.on_circuit_change is not None:
            self._circuit = CircuitBreaker(self._probe, on_change=self._limits.on_circuit_change)

    async def send(
        self, commands: Sequence[Command], *, script: str | None = None, acks: WriteAcks | None = None
    ) -> list[Any]:
        if self._circuit is not None and not self._circuit.is_closed:
            return [_make_circuit_error()] * len(commands)
        replies = await self._send([command.args for command in commands], script, acks)
        self._record(replies)
        return replies

    async def get_values(self, keys: Sequence[bytes]) -> list[bytes | Exception | None]:
        if self._circuit is not None and not self._circuit.is_closed:
            return [_make_circuit_error()] * len(keys)
        values: Any
        try:
            async with asyncio.timeout(self._limits.read_s):
                values = await self._client.mget(keys)
        except REDIS_ERRORS as error:
            values = [name_timeout(error, self._limits.read_s)] * len(keys)
        self._record(values[:1])
        return list(values)

    async def broadcast(self, commands: Sequence[Args]) -> list[list[Any]]:
        return [await self._send(commands, None, None)]  # also while the circuit is open: health checks use it

    async def scan(self, cursors: Cursors | None, pattern: bytes, count: int) -> ScanStep:
        args = make_scan(0 if cursors is None else cursors[""], pattern, count)
        (reply,) = await self.send([Command(b"", args)])
        return join_scans({"": reply})

    def node_for(self, key: bytes) -> str:  # noqa: ARG002 - there is only one server
        return ""

    async def close(self) -> None:
        if self._circuit is not None:
            await self._circuit.close()

    async def _send(self, commands: Sequence[Args], script: str | None, acks: WriteAcks | None) -> list[Any]:
        pipeline: Any = self._client.pipeline(transaction=False)
        for args in add_load_and_wait(commands, script, acks):
            pipeline.execute_command(*args)
        try:
            async with asyncio.timeout(self._limits.send_s):
                replies = await pipeline.execute(raise_on_error=False)
        except REDIS_ERRORS as error:
            return [name_timeout(error, self._limits.send_s)] * len(commands)
        return unwrap_replies(replies, script, acks)

    def _record(self, replies: Sequence[Any]) -> None:
        """Report a round trip to the circuit breaker."""
        if self._circuit is None:
            return
        error = next((reply for reply in replies if isinstance(reply, OUTAGE_ERRORS)), None)
        if error is None:
            self._circuit.record_success()
        else:
            self._circuit.record_failure(str(error) or type(error).__name__)

    async def _probe(self) -> None:
        """Raise the error of a server that does not answer as fast as a read must be; any answer is one."""
        try:
            async with asyncio.timeout(self._limits.read_s):
                await self._client.ping()
        except OUTAGE_ERRORS as error:
            raise name_timeout(error, self._limits.read_s) from error
        except RedisError:
            return


def _make_circuit_error() -> CircuitOpen:
    return CircuitOpen("it failed a moment ago; it gets no command until a probe succeeds")


def name_timeout(error: Exception, timeout_s: float | None) -> Exception:
    """Give the error of a round trip that exceeded its limit a text, which asyncio does not."""
    is_limit = type(error) is TimeoutError and not str(error)
    return RedisTimeoutError(f"no answer within {1000 * (timeout_s or 0):.0f} ms") if is_limit else error


def add_load_and_wait(commands: Sequence[Args], script: str | None, acks: WriteAcks | None) -> list[Args]:
    """Add SCRIPT LOAD in front and waits behind; a wait covers all writes before it without another round trip."""
    load = [("SCRIPT LOAD", script)] if script is not None else []
    return [*load, *commands, *(acks.commands if acks is not None else [])]


def unwrap_replies(replies: list[Any], script: str | None, acks: WriteAcks | None) -> list[Any]:
    """Drop the replies that `add_load_and_wait` caused, and replace replies by the error of a wait that failed."""
    waits = [] if acks is None else replies[len(replies) - len(acks.commands) :]
    command_replies = replies[int(script is not None) : len(replies) - len(waits)]
    failure = None if acks is None else acks.find_failure(waits)
    if failure is None:
        return command_replies
    return [reply if isinstance(reply, Exception) else failure for reply in command_replies]


def decode_hash(reply: Any) -> dict[str, bytes]:
    """Return the reply to HGETALL as a dict, whichever form the client gives it."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(errors="replace"): value for name, value in pairs}
