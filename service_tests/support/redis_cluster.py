"""A Redis Cluster of real processes: three primaries that share the slots, and a replica of each.

Knows how a cluster is put together and which node holds a user. Tests wait on what it says, never on time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.crc import key_slot

from app.stores.keys import build_items_key
from service_tests.support.redis_processes import RedisProcess, wait_until

SLOTS = 16_384
PRIMARIES = 3
JOINING_MS = 1_000


@dataclass(frozen=True)
class SlotMove:
    """A slot on its way from one node to another, as resharding does it: begin, migrate its keys, end."""

    slot: int
    source: RedisProcess
    target: RedisProcess
    ids: dict[int, str]

    def begin(self) -> None:
        self._tell(self.target, "IMPORTING", self.source)
        self._tell(self.source, "MIGRATING", self.target)

    def migrate(self, *keys: bytes) -> None:
        with self.source.client() as client:
            client.execute_command("MIGRATE", "127.0.0.1", self.target.port, "", 0, 1000, "KEYS", *keys)

    def end(self) -> None:
        for node in (self.target, self.source):
            self._tell(node, "NODE", self.target)

    def _tell(self, node: RedisProcess, state: str, other: RedisProcess) -> None:
        with node.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", self.slot, state, self.ids[other.port])


@dataclass(frozen=True)
class RedisCluster:
    nodes: list[RedisProcess]
    ids: dict[int, str]
    """The node's id by its port."""

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def find_primary(self, user_id: str) -> RedisProcess:
        return self.node(self._owner(key_slot(build_items_key(user_id)))[0])

    def find_replica(self, user_id: str) -> RedisProcess:
        return self.node(self._owner(key_slot(build_items_key(user_id)))[1])

    def primaries(self) -> list[RedisProcess]:
        return [self.node(port) for port in {self._owner(slot)[0] for slot in _first_slots()}]

    def plan_slot_move(self, user_id: str) -> SlotMove:
        """The user's slot, to another node than it is on."""
        source = self.find_primary(user_id)
        target = next(node for node in self.primaries() if node is not source)
        return SlotMove(key_slot(build_items_key(user_id)), source, target, self.ids)

    def node(self, port: int) -> RedisProcess:
        return next(node for node in self.nodes if node.port == port)

    def wait_until_healthy(self) -> None:
        """Every node runs, every slot has a primary and a replica that follows it, and all nodes say so."""
        wait_until(self._is_whole, "a cluster with a primary and a replica for every slot")

    def _owner(self, slot: int) -> list[int]:
        """The ports that one running node knows for a slot, the primary first."""
        node = next(node for node in self.nodes if node.is_running)
        with node.client() as client:
            for first, last, *holders in client.execute_command("CLUSTER", "SLOTS"):
                if int(first) <= slot <= int(last):
                    return [int(holder[1]) for holder in holders]
        raise AssertionError(f"nobody holds slot {slot}")

    def _is_whole(self) -> bool:
        views, rows = set(), []
        for node in self.nodes:
            with node.client() as client:
                if client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                    return False
                rows = client.execute_command("CLUSTER", "SLOTS")
            views.add(str(sorted((first, last, sorted(holder[1] for holder in pair)) for first, last, *pair in rows)))
        if len(views) != 1 or any(len(pair) != 2 for _, _, *pair in rows):
            return False
        return all(self.node(replica[1]).is_replica_of(self.node(primary[1])) for _, _, primary, replica in rows)


def _first_slots() -> list[int]:
    return [SLOTS * place // PRIMARIES for place in range(PRIMARIES)]


@contextmanager
def redis_cluster(folder: Path, *, node_timeout_ms: int) -> Iterator[RedisCluster]:
    """Until the block ends. A primary that is silent for `node_timeout_ms` is replaced."""
    nodes: list[RedisProcess] = []
    try:
        for place in range(2 * PRIMARIES):
            settings = {
                "save": "",
                "cluster-enabled": "yes",
                "cluster-node-timeout": str(JOINING_MS),  # nodes tell each other the sooner what they know
                "cluster-replica-validity-factor": "0",  # a replica stands for election however long it was cut off
                "cluster-require-full-coverage": "no",
                "repl-diskless-sync": "yes",
                "repl-diskless-sync-delay": "0",
                "repl-ping-replica-period": "1",
            }
            nodes.append(RedisProcess(folder / f"node{place}", settings))
        cluster = RedisCluster(nodes, {node.port: _id(node) for node in nodes})
        _put_together(cluster)
        cluster.wait_until_healthy()
        for node in nodes:
            with node.client() as client:
                client.config_set("cluster-node-timeout", node_timeout_ms)
        yield cluster
    finally:
        for node in nodes:
            node.stop()


def _id(node: RedisProcess) -> str:
    with node.client() as client:
        return str(client.execute_command("CLUSTER", "MYID"))


def _put_together(cluster: RedisCluster) -> None:
    nodes, first = cluster.nodes, _first_slots()
    for place, node in enumerate(nodes):
        with node.client() as client:
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
            if place < PRIMARIES:
                client.execute_command("CLUSTER", "ADDSLOTS", *range(first[place], [*first, SLOTS][place + 1]))
    for node in nodes:
        wait_until(lambda node=node: _knows(node) == len(nodes), "nodes that know each other")  # type: ignore[misc]
    for place, node in enumerate(nodes[PRIMARIES:]):
        with node.client() as client:
            client.execute_command("CLUSTER", "REPLICATE", cluster.ids[nodes[place].port])


def _knows(node: RedisProcess) -> int:
    with node.client() as client:
        known = str(client.execute_command("CLUSTER", "NODES"))
    return known.count(" connected")
