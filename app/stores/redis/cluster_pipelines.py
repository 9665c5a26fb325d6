"""Many commands in one round trip to each node of a Redis Cluster, following it through fail-overs and moving slots.

A node that is away costs the commands for its own slots and no others. redis-py's own retries would close the
connections of every node, those in use included, and would not look for a new primary after a timeout: here its
pipelines carry the commands, and these are the rules. Knows no key's meaning.

    MOVED, connection lost or refused    look who holds the slots now, try again
    ASK, TRYAGAIN                        the slot is under way: ask where it goes, or once more a moment later
    timeout                              not again within this call; look before the next, and spare the node meanwhile
    CLUSTERDOWN                          not again within this call; look before the next
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, MovedError, SlotNotCoveredError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.stores.redis.cluster_topology import ClusterTopology
from app.stores.redis.pipelines import REDIS_ERRORS, Args, Command, ReplicaAcks, add_load_and_wait, unwrap_replies

TRIES = 4  # a connection that died, then a slot that moved; or twice where a slot goes and what is said there
TRY_AGAIN_S = 0.05
TRY_AGAIN = (AskError, MovedError, TryAgainError, RedisConnectionError)

Asked = list[tuple[int, list[Args]]]
"""For one node: the place of a command in the call, and what is sent for it."""


class ClusterCommandPipeline:
    def __init__(self, client: RedisCluster) -> None:
        self._client = client
        self._topology = ClusterTopology(client)

    async def send(
        self, commands: Sequence[Command], *, script: str | None = None, replicas: ReplicaAcks | None = None
    ) -> list[Any]:
        """As CommandPipeline says."""
        answers: list[Any] = [None] * len(commands)
        left = list(range(len(commands)))
        await self._topology.refresh_if_stale()
        for tries_left in reversed(range(TRIES)):
            groups = self._by_node(commands, answers, left)
            asked = (self._ask(node, [args for _, args in group], script, replicas) for node, group in groups)
            for (_, group), given in zip(groups, await asyncio.gather(*asked), strict=True):
                for (place, _), answer in zip(group, given, strict=True):
                    answers[place] = answer
            left = [place for place in left if isinstance(answers[place], TRY_AGAIN)]
            if not left or not tries_left:
                break
            await self._before_the_next_try([answers[place] for place in left])
        return answers

    async def values(self, keys: Sequence[bytes]) -> list[bytes | Exception | None]:
        """As CommandPipeline says; one pipeline per node, because MGET is for keys of one slot."""
        return await self.send([Command(key, ("GET", key)) for key in keys])

    async def broadcast(self, args: Sequence[Args]) -> list[list[Any]]:
        """As CommandPipeline says."""
        await self._topology.refresh_if_stale()
        asked = (self._ask(node, [[one] for one in args], None, None) for node in self._client.get_primaries())
        return list(await asyncio.gather(*asked))

    def node_for(self, key: bytes) -> str:
        """As CommandPipeline says."""
        try:
            return self._topology.get_primary(key).name
        except SlotNotCoveredError:
            return ""

    def _by_node(
        self, commands: Sequence[Command], answers: list[Any], left: list[int]
    ) -> list[tuple[ClusterNode, Asked]]:
        """A command for a slot that nobody holds gets its answer here."""
        groups: dict[str, tuple[ClusterNode, Asked]] = {}
        for place in left:
            command, before = commands[place], answers[place]
            args: list[Args] = [command.args]
            try:
                node = self._topology.get_primary(command.key)
            except SlotNotCoveredError as error:
                answers[place] = error
                self._topology.is_stale = True
                continue
            to = self._client.get_node(before.host, before.port) if _is_ask(before) else None
            if to is not None:
                node, args = to, [("ASKING",), command.args]  # on one connection: it is for the next command alone
            groups.setdefault(node.name, (node, []))[1].append((place, args))
        return list(groups.values())

    async def _ask(
        self, node: ClusterNode, args: list[list[Args]], script: str | None, replicas: ReplicaAcks | None
    ) -> list[Any]:
        """The last answer to each list of words."""
        if not self._topology.is_available(node):
            return [RedisTimeoutError(f"{node.name} did not answer a moment ago")] * len(args)
        pipeline: Any = self._client.pipeline(transaction=False)
        for one in add_load_and_wait([one for some in args for one in some], script, replicas):
            pipeline.execute_command(*one, target_nodes=node)
        try:
            # Redirections are followed by `send`: the client would do it one command after the other, and without WAIT.
            answers = await pipeline.execute(raise_on_error=False, allow_redirections=False)
        except REDIS_ERRORS as error:
            answers = [error] * len(args)
        else:
            flat = iter(unwrap_replies(answers, script, replicas))
            answers = [[next(flat) for _ in some][-1] for some in args]
        self._topology.record_replies(node, answers)
        return answers

    async def _before_the_next_try(self, errors: list[Any]) -> None:
        await self._topology.refresh_if_stale()
        for error in errors:
            if isinstance(error, MovedError):  # newer than what an arbitrary node may have told
                await self._client.nodes_manager.move_slot(error)
        if any(isinstance(error, TryAgainError) for error in errors):
            await asyncio.sleep(TRY_AGAIN_S)


def _is_ask(answer: Any) -> bool:
    return isinstance(answer, AskError) and not isinstance(answer, MovedError)  # the one derives from the other
