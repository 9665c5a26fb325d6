"""Run the service on a Ray cluster of two loopback nodes: `python -m service_tests.support.ray_nodes PORT`.

Runs until standard input closes; each line of input redeploys the service. A separate process, because Ray leaves
threads and handlers behind in a process that connects to it. Settings come from the environment. After each step it
prints one JSON line with the seconds that the step took.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray import serve
from ray.cluster_utils import Cluster

from app.deployments.ray_serve import application
from app.deployments.ray_settings import RaySettings

OBJECT_STORE_BYTES = 80 * 2**20
"""About the minimum that Ray accepts; requests are too small to be stored there."""
HEAD_ADDRESS, WORKER_ADDRESS = "127.0.0.2", "127.0.0.3"
"""Loopback addresses, unreachable from other machines; Ray replaces 127.0.0.1 by another address."""


@contextmanager
def run_two_nodes(cpus: float) -> Iterator[Cluster]:
    """Run two nodes, each with room for one replica in addition to Ray's actors."""
    node = {"num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES}
    head = {**node, "node_ip_address": HEAD_ADDRESS, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**node, node_ip_address=WORKER_ADDRESS)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def main(port: int) -> None:
    started_at = time.monotonic()
    settings = RaySettings()
    with run_two_nodes(cpus=settings.num_cpus) as cluster:
        ray.init(address=cluster.address, _node_ip_address=HEAD_ADDRESS, log_to_driver=False)
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        print_steps(cluster_s=time.monotonic() - started_at)
        deploy(settings)
        for _ in sys.stdin:
            deploy(settings)
        serve.shutdown()


def deploy(settings: RaySettings) -> None:
    """Deploy and wait until every replica belongs to this deployment."""
    started_at = time.monotonic()
    serve.run(application(settings), name="nextup")
    print_steps(deploy_s=time.monotonic() - started_at)


def print_steps(**steps: float) -> None:
    print(json.dumps(steps), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
