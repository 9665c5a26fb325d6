"""A primary with two replicas and the three Sentinels that monitor it, all real processes.

Tests wait for the state that these processes report, never for a fixed time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service_tests.support.redis_processes import RedisProcess, wait_for_redis

SERVICE = "shop"
REPLICAS = 2
SENTINELS = 3
QUORUM = 2


@dataclass(frozen=True)
class RedisSentinel:
    nodes: list[RedisProcess]
    sentinels: list[RedisProcess]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def find_primary(self) -> RedisProcess:
        """Ask a running Sentinel for the primary."""
        return self._read_primary(next(sentinel for sentinel in self.sentinels if sentinel.is_running))

    def has_replaced(self, primary: RedisProcess) -> bool:
        """Whether every running Sentinel names another primary: one that does not yet would lead clients back to it."""
        return all(self._read_primary(sentinel) is not primary for sentinel in self.sentinels if sentinel.is_running)

    def _read_primary(self, sentinel: RedisProcess) -> RedisProcess:
        with sentinel.connect() as client:
            _, port = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(node for node in self.nodes if node.port == int(port))

    def wait_until_healthy(self) -> None:
        """Wait until every node runs, the replicas follow the primary, and every Sentinel has seen all of it."""
        wait_for_redis(self._is_healthy, "a primary with its replicas, known to every Sentinel")

    def _is_healthy(self) -> bool:
        primary = self.find_primary()
        if not all(node is primary or node.is_replica_of(primary) for node in self.nodes):
            return False
        return all(_sees_all_nodes(sentinel, primary) for sentinel in self.sentinels)


def _sees_all_nodes(sentinel: RedisProcess, primary: RedisProcess) -> bool:
    with sentinel.connect() as client:
        state = client.sentinel_master(SERVICE)
    view = (state["port"], state["flags"], state["num-slaves"], state["num-other-sentinels"])
    return view == (primary.port, "master", REPLICAS, SENTINELS - 1)


@contextmanager
def run_redis_sentinel(folder: Path, *, down_after_ms: int) -> Iterator[RedisSentinel]:
    """Run the processes until the block ends; a primary that is silent for `down_after_ms` is replaced."""
    processes: list[RedisProcess] = []
    try:
        # A primary that restarts empty before the Sentinels notice would have its replicas copy the empty data.
        options = {"save": "", "appendonly": "yes", "repl-diskless-sync": "yes", "repl-diskless-sync-delay": "0"}
        primary = RedisProcess(folder / "node0", options)
        processes.append(primary)
        for number in range(REPLICAS):
            replica = RedisProcess(folder / f"node{number + 1}", options | {"replicaof": f"127.0.0.1 {primary.port}"})
            processes.append(replica)
        configuration = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} {QUORUM}\n"
            f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
            f"sentinel parallel-syncs {SERVICE} {REPLICAS}\n"
        )
        processes += (RedisProcess(folder / f"sentinel{number}", {}, configuration) for number in range(SENTINELS))
        sentinel = RedisSentinel(processes[: REPLICAS + 1], processes[REPLICAS + 1 :])
        sentinel.wait_until_healthy()
        yield sentinel
    finally:
        for process in processes:
            process.stop()
