"""`python -m service_tests.support.ray_nodes PORT`: a Ray cluster of two nodes on loopback with the service on it,
until standard input ends; each line of it deploys the service anew.

A process of its own, because Ray leaves threads and handlers behind in whoever connects to it. Settings come from the
environment, as everywhere; it says on one line of JSON how many seconds a step took, when the step is done.
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
"""About the least that Ray takes; requests are small and never lie there."""
HEAD, OTHER = "127.0.0.2", "127.0.0.3"
"""Of loopback, so that nothing here is reachable from elsewhere; 127.0.0.1 is what Ray replaces by another address."""


@contextmanager
def two_nodes(cpus: float) -> Iterator[Cluster]:
    """Each has room for one replica beside Ray's own actors."""
    node = {"num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES}
    head = {**node, "node_ip_address": HEAD, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**node, node_ip_address=OTHER)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def main(port: int) -> None:
    began = time.monotonic()
    settings = RaySettings()
    with two_nodes(cpus=settings.num_cpus) as cluster:
        ray.init(address=cluster.address, _node_ip_address=HEAD, log_to_driver=False)
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        say(cluster_s=time.monotonic() - began)
        deploy(settings)
        for _ in sys.stdin:
            deploy(settings)
        serve.shutdown()


def deploy(settings: RaySettings) -> None:
    """Until every replica is one of this deployment."""
    began = time.monotonic()
    serve.run(application(settings), name="nextup")
    say(deploy_s=time.monotonic() - began)


def say(**steps: float) -> None:
    print(json.dumps(steps), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
