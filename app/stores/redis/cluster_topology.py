"""The client's view of a Redis Cluster: slot owners, when to refresh it, and a circuit breaker per node."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import ClusterDownError, MovedError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.runtime.circuit_breaker import OnChange
from app.stores.redis.pipelines import REDIS_ERRORS

REFRESH_INTERVAL_S = 0.1  # each refresh makes the client reconnect to every node
REFRESH_TIMEOUT_S = 1.0
REFRESH_WAIT_S = 0.05
"""A refresh that asks a node that hangs takes longer; calls for the other nodes then go on with the slots they know."""
CIRCUIT_OPEN_S = 0.1
"""After a timeout, one call per this time probes the node; other calls for it fail immediately.

Without this, all connections of the service would soon wait for that node, and none would be free for the others.
"""

TIMEOUT_ERRORS = (RedisTimeoutError, TimeoutError)
STALE_ERRORS = (*TIMEOUT_ERRORS, RedisConnectionError, OSError, ClusterDownError, MovedError)
"""Errors after which another node may own the slot."""


class ClusterTopology:
    """Slot owners and node availability; `is_stale` asks for a refresh before the next command."""

    def __init__(self, client: RedisCluster, on_circuit_change: OnChange | None = None) -> None:
        """`on_circuit_change` is called when the first circuit opens, and when the last one closes."""
        self._client = client
        self._on_circuit_change = on_circuit_change
        self._refresh: asyncio.Task[None] | None = None
        self._refresh_started_at = 0.0
        self._refreshed_at = 0.0
        self._circuit_open_until: dict[str, float] = {}
        self.is_stale = False

    @property
    def is_refreshing(self) -> bool:
        return self._refresh is not None and not self._refresh.done()

    def get_primary(self, key: bytes) -> ClusterNode:
        """Return the primary of the key's slot; SlotNotCoveredError if there is none."""
        node = self._client.get_node_from_key(key)  # type: ignore[arg-type]  # it takes bytes as well
        assert node is not None, "a slot that is covered has a primary"
        return node

    def is_available(self, node: ClusterNode) -> bool:
        """Whether a call may use the node; while its circuit is open, one call per CIRCUIT_OPEN_S may, as a probe."""
        open_until = self._circuit_open_until.get(node.name)
        if open_until is None:
            return True
        if time.monotonic() < open_until:
            return False
        self._circuit_open_until[node.name] = time.monotonic() + CIRCUIT_OPEN_S
        return True

    def record_replies(self, node: ClusterNode, replies: Sequence[Any]) -> None:
        """Update the circuit breaker and staleness from a node's replies and errors."""
        timeout = next((reply for reply in replies if isinstance(reply, TIMEOUT_ERRORS)), None)
        had_open_circuit = bool(self._circuit_open_until)
        if timeout is not None:
            self._circuit_open_until[node.name] = time.monotonic() + CIRCUIT_OPEN_S
        else:
            self._circuit_open_until.pop(node.name, None)
        self._report_circuits(had_open_circuit, f"{node.name}: {timeout}")
        if any(isinstance(reply, STALE_ERRORS) for reply in replies):
            self.is_stale = True

    async def refresh_if_stale(self, wait_s: float = REFRESH_WAIT_S) -> None:
        """Reload slot owners unless that was done a moment ago; failures show up in the commands that follow.

        Calls share one refresh, and wait for it until `wait_s` after its start.
        """
        now = time.monotonic()
        if self._refresh is None or self._refresh.done():
            if not self.is_stale or now < self._refreshed_at + REFRESH_INTERVAL_S:
                return
            self._refresh_started_at = now
            self._refresh = asyncio.create_task(self._run_refresh(), name="refresh of the slots of a Redis Cluster")
        await asyncio.wait([self._refresh], timeout=max(0.0, self._refresh_started_at + wait_s - now))

    async def close(self) -> None:
        """Cancel a refresh that still runs."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.wait([self._refresh])

    async def _run_refresh(self) -> None:
        self.is_stale = False
        with suppress(*REDIS_ERRORS):
            async with asyncio.timeout(REFRESH_TIMEOUT_S):
                await self._client.nodes_manager.initialize(
                    last_failed_node_name=next(iter(self._circuit_open_until), None)
                )
        self._refreshed_at = time.monotonic()
        node_names = {node.name for node in self._client.get_nodes()}
        had_open_circuit = bool(self._circuit_open_until)
        self._circuit_open_until = {
            name: open_until for name, open_until in self._circuit_open_until.items() if name in node_names
        }
        self._report_circuits(had_open_circuit, "")

    def _report_circuits(self, had_open_circuit: bool, cause: str) -> None:
        has_open_circuit = bool(self._circuit_open_until)
        if self._on_circuit_change is not None and has_open_circuit != had_open_circuit:
            if has_open_circuit:
                self._on_circuit_change("open", f"a node of the cluster timed out ({cause})")
            else:
                self._on_circuit_change("closed", "all nodes of the cluster answer again")
