"""A primary with two replicas and the three Sentinels that watch over it, all real processes.

Knows how they are started and who is the primary. Tests wait on what it says, never on time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service_tests.support.redis_processes import RedisProcess, wait_until

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
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels) + f"/{SERVICE}"

    def primary(self) -> RedisProcess:
        """By the word of a Sentinel that runs."""
        with next(one for one in self.sentinels if one.is_running).client() as sentinel:
            _, port = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(node for node in self.nodes if node.port == int(port))

    def wait_until_healthy(self) -> None:
        """Every node runs, the replicas follow the primary, and every Sentinel has seen all of it."""
        wait_until(self._is_whole, "a primary with its replicas, known to every Sentinel")

    def _is_whole(self) -> bool:
        primary = self.primary()
        if not all(node is primary or node.is_replica_of(primary) for node in self.nodes):
            return False
        return all(_sees_all(sentinel, primary) for sentinel in self.sentinels)


def _sees_all(sentinel: RedisProcess, primary: RedisProcess) -> bool:
    with sentinel.client() as client:
        state = client.sentinel_master(SERVICE)
    seen = (state["port"], state["flags"], state["num-slaves"], state["num-other-sentinels"])
    return seen == (primary.port, "master", REPLICAS, SENTINELS - 1)


@contextmanager
def redis_sentinel(folder: Path, *, down_after_ms: int) -> Iterator[RedisSentinel]:
    """Until the block ends. A primary that does not answer for `down_after_ms` is replaced."""
    processes: list[RedisProcess] = []
    try:
        options = {"save": "", "repl-diskless-sync": "yes", "repl-diskless-sync-delay": "0"}
        primary = RedisProcess(folder / "node0", options)
        processes.append(primary)
        for place in range(REPLICAS):
            replica = RedisProcess(folder / f"node{place + 1}", options | {"replicaof": f"127.0.0.1 {primary.port}"})
            processes.append(replica)
        watched = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} {QUORUM}\n"
            f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
            f"sentinel parallel-syncs {SERVICE} {REPLICAS}\n"
        )
        processes += (RedisProcess(folder / f"sentinel{place}", {}, watched) for place in range(SENTINELS))
        sentinel = RedisSentinel(processes[: REPLICAS + 1], processes[REPLICAS + 1 :])
        sentinel.wait_until_healthy()
        yield sentinel
    finally:
        for process in processes:
            process.stop()
