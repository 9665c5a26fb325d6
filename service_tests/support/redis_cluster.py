"""A Redis Cluster of real processes: three primaries that share the slots, and a replica of each.

Tests wait for the state that the nodes report, never for a fixed time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.crc import key_slot

from app.stores.keys import build_items_key
from service_tests.support.redis_processes import RedisProcess, wait_for_redis

SLOTS = 16_384
PRIMARIES = 3
SETUP_TIMEOUT_MS = 1_000


@dataclass(frozen=True)
class SlotMove:
    """The migration of a slot between two nodes in the steps of resharding: begin, migrate keys, end."""

    slot: int
    source: RedisProcess
    target: RedisProcess
    ids: dict[int, str]

    def begin(self) -> None:
        self._set_slot(self.target, "IMPORTING", self.source)
        self._set_slot(self.source, "MIGRATING", self.target)

    def migrate(self, *keys: bytes) -> None:
        with self.source.connect() as client:
            client.execute_command("MIGRATE", "127.0.0.1", self.target.port, "", 0, 1000, "KEYS", *keys)

    def end(self) -> None:
        for node in (self.target, self.source):
            self._set_slot(node, "NODE", self.target)

    def _set_slot(self, node: RedisProcess, state: str, peer: RedisProcess) -> None:
        with node.connect() as client:
            client.execute_command("CLUSTER", "SETSLOT", self.slot, state, self.ids[peer.port])


@dataclass(frozen=True)
class RedisCluster:
    nodes: list[RedisProcess]
    ids: dict[int, str]
    """Node ids by port."""

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def find_primary(self, user_id: str) -> RedisProcess:
        return self.get_node(self._find_owners(key_slot(build_items_key(user_id)))[0])

    def find_replica(self, user_id: str) -> RedisProcess:
        return self.get_node(self._find_owners(key_slot(build_items_key(user_id)))[1])

    def list_primaries(self) -> list[RedisProcess]:
        return [self.get_node(port) for port in {self._find_owners(slot)[0] for slot in _list_first_slots()}]

    def plan_slot_move(self, user_id: str) -> SlotMove:
        """Plan to move the user's slot to another primary."""
        source = self.find_primary(user_id)
        target = next(node for node in self.list_primaries() if node is not source)
        return SlotMove(key_slot(build_items_key(user_id)), source, target, self.ids)

    def get_node(self, port: int) -> RedisProcess:
        return next(node for node in self.nodes if node.port == port)

    def wait_until_healthy(self) -> None:
        """Wait until all nodes run and agree that every slot has a primary and a replica in sync."""
        wait_for_redis(self._is_healthy, "a cluster with a primary and a replica for every slot")

    def _find_owners(self, slot: int) -> list[int]:
        """Return the ports that a running node reports for a slot, the primary first."""
        node = next(node for node in self.nodes if node.is_running)
        with node.connect() as client:
            for first, last, *owners in client.execute_command("CLUSTER", "SLOTS"):
                if int(first) <= slot <= int(last):
                    return [int(owner[1]) for owner in owners]
        raise AssertionError(f"no node owns slot {slot}")

    def _is_healthy(self) -> bool:
        views, rows = set(), []
        for node in self.nodes:
            with node.connect() as client:
                if client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                    return False
                rows = client.execute_command("CLUSTER", "SLOTS")
            views.add(str(sorted((first, last, sorted(owner[1] for owner in pair)) for first, last, *pair in rows)))
        if len(views) != 1 or any(len(pair) != 2 for _, _, *pair in rows):
            return False
        return all(
            self.get_node(replica[1]).is_replica_of(self.get_node(primary[1])) for _, _, primary, replica in rows
        )


def _list_first_slots() -> list[int]:
    return [SLOTS * number // PRIMARIES for number in range(PRIMARIES)]


@contextmanager
def run_redis_cluster(folder: Path, *, node_timeout_ms: int) -> Iterator[RedisCluster]:
    """Run a cluster until the block ends; a primary that is silent for `node_timeout_ms` is replaced."""
    nodes: list[RedisProcess] = []
    try:
        for number in range(2 * PRIMARIES):
            settings = {
                "save": "",
                "cluster-enabled": "yes",
                "cluster-node-timeout": str(SETUP_TIMEOUT_MS),  # a short timeout makes the nodes gossip more often
                "cluster-replica-validity-factor": "0",  # a replica may be elected however long it was disconnected
                "cluster-require-full-coverage": "no",
                "repl-diskless-sync": "yes",
                "repl-diskless-sync-delay": "0",
                "repl-ping-replica-period": "1",
            }
            nodes.append(RedisProcess(folder / f"node{number}", settings))
        cluster = RedisCluster(nodes, {node.port: _read_id(node) for node in nodes})
        _join_nodes(cluster)
        cluster.wait_until_healthy()
        for node in nodes:
            with node.connect() as client:
                client.config_set("cluster-node-timeout", node_timeout_ms)
        yield cluster
    finally:
        for node in nodes:
            node.stop()


def _read_id(node: RedisProcess) -> str:
    with node.connect() as client:
        return str(client.execute_command("CLUSTER", "MYID"))


def _join_nodes(cluster: RedisCluster) -> None:
    nodes, first_slots = cluster.nodes, _list_first_slots()
    for index, node in enumerate(nodes):
        with node.connect() as client:
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
            if index < PRIMARIES:
                slots = range(first_slots[index], [*first_slots, SLOTS][index + 1])
                client.execute_command("CLUSTER", "ADDSLOTS", *slots)
    wait_for_redis(
        lambda: all(_count_connected_nodes(node) == len(nodes) for node in nodes),
        "nodes that are connected to each other",
    )
    for index, node in enumerate(nodes[PRIMARIES:]):
        with node.connect() as client:
            client.execute_command("CLUSTER", "REPLICATE", cluster.ids[nodes[index].port])


def _count_connected_nodes(node: RedisProcess) -> int:
    with node.connect() as client:
        return str(client.execute_command("CLUSTER", "NODES")).count(" connected")
