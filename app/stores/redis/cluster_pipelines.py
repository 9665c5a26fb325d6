"""Many commands in one round trip to each node of a Redis Cluster, through failovers and slot migrations.

A node that is down fails only the commands for its own slots. redis-py's own retries would close the connections of
every node, including those in use, and would not look for a new primary after a timeout. So redis-py's pipelines only
carry the commands, and this module retries by these rules:

    MOVED, connection lost or refused    refresh the topology, retry
    ASK, TRYAGAIN                        the slot is migrating: retry at its target, or a moment later
    CLUSTERDOWN                          do not retry within this call; refresh before the next
    timeout                              as CLUSTERDOWN, and open the node's circuit breaker
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, MovedError, SlotNotCoveredError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.stores.redis.cluster_topology import REFRESH_TIMEOUT_S, ClusterTopology
from app.stores.redis.pipelines import (
    REDIS_ERRORS,
    Args,
    Command,
    PipelineLimits,
    WriteAcks,
    add_load_and_wait,
    name_timeout,
    unwrap_replies,
)
from app.stores.redis.scans import Cursors, ScanStep, join_scans, make_scan

MAX_TRIES = 4  # a dead connection and then a moved slot; or two ASK redirections, each followed by TRYAGAIN
TRY_AGAIN_DELAY_S = 0.05
RETRIED_ERRORS = (AskError, MovedError, TryAgainError, RedisConnectionError)

NodeCommands = list[tuple[int, list[Args]]]
"""For one node: the index of a command in the call, and the commands sent for it (ASKING may precede it)."""


class ClusterCommandPipeline:
    """The CommandPipeline of a Redis Cluster."""

    def __init__(self, client: RedisCluster, limits: PipelineLimits | None = None) -> None:
        self._client = client
        self._limits = limits or PipelineLimits()
        self.topology = ClusterTopology(client, on_circuit_change=self._limits.on_circuit_change)

    async def send(
        self, commands: Sequence[Command], *, script: str | None = None, acks: WriteAcks | None = None
    ) -> list[Any]:
        return await self._send(commands, script, acks, self._limits.send_s)

    async def _send(
        self, commands: Sequence[Command], script: str | None, acks: WriteAcks | None, timeout_s: float | None
    ) -> list[Any]:
        replies: list[Any] = [None] * len(commands)
        pending = list(range(len(commands)))
        await self.topology.refresh_if_stale()
        for tries_left in reversed(range(MAX_TRIES)):
            groups = self._group_by_node(commands, replies, pending)
            sends = (
                self._send_to_node(node, [args for _, args in group], script, acks, timeout_s) for node, group in groups
            )
            for (_, group), node_replies in zip(groups, await asyncio.gather(*sends), strict=True):
                for (index, _), reply in zip(group, node_replies, strict=True):
                    replies[index] = reply
            pending = [index for index in pending if isinstance(replies[index], RETRIED_ERRORS)]
            if not pending or not tries_left:
                break
            await self._prepare_retry([replies[index] for index in pending])
        return replies

    async def get_values(self, keys: Sequence[bytes]) -> list[bytes | Exception | None]:
        """Send one pipeline of GETs per node, because MGET works only for keys of one slot."""
        return await self._send([Command(key, ("GET", key)) for key in keys], None, None, self._limits.read_s)

    async def broadcast(self, commands: Sequence[Args]) -> list[list[Any]]:
        await self.topology.refresh_if_stale()
        single_commands = [[args] for args in commands]
        sends = (
            self._send_to_node(node, single_commands, None, None, self._limits.send_s)
            for node in self._client.get_primaries()
        )
        return list(await asyncio.gather(*sends))

    async def scan(self, cursors: Cursors | None, pattern: bytes, count: int) -> ScanStep:
        """See CommandPipeline; a server that has left the cluster meanwhile is not looked at any more."""
        await self.topology.refresh_if_stale()
        primaries = {node.name: node for node in self._client.get_primaries()}
        starts = dict.fromkeys(primaries, 0) if cursors is None else cursors
        names = [name for name in starts if name in primaries]
        sends = (
            self._send_to_node(
                primaries[name], [[make_scan(starts[name], pattern, count)]], None, None, self._limits.send_s
            )
            for name in names
        )
        replies = await asyncio.gather(*sends)
        return join_scans({name: reply for name, (reply,) in zip(names, replies, strict=True)})

    def node_for(self, key: bytes) -> str:
        try:
            return self.topology.get_primary(key).name
        except SlotNotCoveredError:
            return ""

    async def close(self) -> None:
        await self.topology.close()

    def _group_by_node(
        self, commands: Sequence[Command], replies: list[Any], pending: list[int]
    ) -> list[tuple[ClusterNode, NodeCommands]]:
        """Group pending commands by node; the error for a slot without a primary goes to `replies` directly."""
        groups: dict[str, tuple[ClusterNode, NodeCommands]] = {}
        for index in pending:
            command, last_reply = commands[index], replies[index]
            sent_commands: list[Args] = [command.args]
            try:
                node = self.topology.get_primary(command.key)
            except SlotNotCoveredError as error:
                replies[index] = error
                self.topology.is_stale = True
                continue
            ask_target = self._client.get_node(last_reply.host, last_reply.port) if _is_ask(last_reply) else None
            if ask_target is not None:
                # ASKING applies only to the next command on the same connection.
                node, sent_commands = ask_target, [("ASKING",), command.args]
            groups.setdefault(node.name, (node, []))[1].append((index, sent_commands))
        return list(groups.values())

    async def _send_to_node(
        self,
        node: ClusterNode,
        commands: list[list[Args]],
        script: str | None,
        acks: WriteAcks | None,
        timeout_s: float | None,
    ) -> list[Any]:
        """Send lists of commands and return the reply to the last command of each list."""
        if not self.topology.is_available(node):
            return [RedisTimeoutError(f"{node.name} timed out a moment ago")] * len(commands)
        pipeline: Any = self._client.pipeline(transaction=False)
        for args in add_load_and_wait([args for sequence in commands for args in sequence], script, acks):
            pipeline.execute_command(*args, target_nodes=node)
        try:
            # `send` follows redirections: the client would follow them one command at a time, and without WAIT.
            async with asyncio.timeout(timeout_s):
                replies = await pipeline.execute(raise_on_error=False, allow_redirections=False)
        except REDIS_ERRORS as error:
            replies = [name_timeout(error, timeout_s)] * len(commands)
        else:
            flat = iter(unwrap_replies(replies, script, acks))
            replies = [[next(flat) for _ in sequence][-1] for sequence in commands]
        self.topology.record_replies(node, replies)
        return replies

    async def _prepare_retry(self, errors: list[Any]) -> None:
        await self.topology.refresh_if_stale(wait_s=REFRESH_TIMEOUT_S)
        for error in errors:
            if isinstance(error, MovedError):  # newer than the topology, which comes from an arbitrary node
                await self._client.nodes_manager.move_slot(error)
        if any(isinstance(error, TryAgainError) for error in errors):
            await asyncio.sleep(TRY_AGAIN_DELAY_S)


def _is_ask(reply: Any) -> bool:
    return isinstance(reply, AskError) and not isinstance(reply, MovedError)  # MovedError derives from AskError
