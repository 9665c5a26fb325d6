"""Who holds which slot of a Redis Cluster, as far as the client knows, and which nodes are silent.

Knows when to look again and whom not to ask. Does not know what is asked.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import ClusterDownError, MovedError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.stores.redis.pipelines import REDIS_ERRORS

REFRESH_INTERVAL_S = 0.1  # each look makes the client connect anew to every node
REFRESH_TIMEOUT_S = 1.0
CIRCUIT_OPEN_S = 0.1
"""A node that was silent is asked by one call in this time; the others are told at once.

Else every connection that the service may use would soon wait for that node, and none for the others.
"""

SILENT = (RedisTimeoutError, TimeoutError)
LOST = (*SILENT, RedisConnectionError, OSError, ClusterDownError, MovedError)
"""After these, another node may hold the slot."""


class ClusterTopology:
    """`is_stale`: look before the next command."""

    def __init__(self, client: RedisCluster, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._looking = asyncio.Lock()
        self._looked_at = 0.0
        self._silent_until: dict[str, float] = {}
        self.is_stale = False

    def get_primary(self, key: bytes) -> ClusterNode:
        """The primary of the key's slot; SlotNotCoveredError if there is none."""
        node = self._client.get_node_from_key(key)  # type: ignore[arg-type]  # it takes bytes as well
        assert node is not None, "a slot that is covered has a primary"
        return node

    def is_available(self, node: ClusterNode) -> bool:
        """Not while it is silent, but for one call now and then."""
        until = self._silent_until.get(node.name)
        if until is None:
            return True
        if self._clock() < until:
            return False
        self._silent_until[node.name] = self._clock() + CIRCUIT_OPEN_S
        return True

    def record_replies(self, node: ClusterNode, answers: Sequence[Any]) -> None:
        """Take note of what a node answered."""
        if any(isinstance(answer, SILENT) for answer in answers):
            self._silent_until[node.name] = self._clock() + CIRCUIT_OPEN_S
        else:
            self._silent_until.pop(node.name, None)
        if any(isinstance(answer, LOST) for answer in answers):
            self.is_stale = True

    async def refresh_if_stale(self) -> None:
        """Learn who holds what, unless that was done a moment ago. Whatever fails here, the commands will tell."""
        if not self.is_stale:
            return
        async with self._looking:
            if self._clock() < self._looked_at + REFRESH_INTERVAL_S:
                return
            self.is_stale = False
            with suppress(*REDIS_ERRORS):
                async with asyncio.timeout(REFRESH_TIMEOUT_S):
                    await self._client.nodes_manager.initialize(
                        last_failed_node_name=next(iter(self._silent_until), None)
                    )
            self._looked_at = self._clock()
            known = {node.name for node in self._client.get_nodes()}
            self._silent_until = {name: until for name, until in self._silent_until.items() if name in known}
