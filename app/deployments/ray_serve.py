"""The service as a Ray Serve application: `serve run app.deployments.ray_serve:application`.

A replica is the whole application, with middlewares and hot path, in a process of Ray's; Ray places the replicas,
shares the requests among them, replaces those that die and changes their number. Settings are read here, where the
deployment is made, and travel to the replicas with it. It knows no use case.
"""

import logging
from collections.abc import Callable
from typing import Any

from prometheus_client import start_http_server
from ray import serve
from ray.serve.config import AutoscalingConfig

from app.deployments.ray_settings import RaySettings, settings_for_replicas
from app.deployments.stateful import Stateful
from app.errors import StoreUnavailable
from app.health.monitor import HealthMonitor
from app.main import create_app
from app.settings import Settings

log = logging.getLogger("nextup")

NAME = "nextup"
END_S = 5.0
"""For closing connections after the drain; then Ray ends the process."""
WAIT_LOOP_S = 1.0
"""How often an ending replica looks whether anything still runs; proxies have stopped sending by then."""


def application(ray: RaySettings) -> serve.Application:
    """What `serve run` and `serve deploy` ask for; `args` of the latter are the fields of RaySettings."""
    application: serve.Application = deployment(settings_for_replicas(Settings(), ray), ray).bind()
    return application


def deployment(settings: Settings, ray: RaySettings) -> Any:
    """The deployment, a class of Ray's making; nothing runs yet."""
    return serve.deployment(
        name=NAME,
        ray_actor_options={"num_cpus": ray.num_cpus, "num_gpus": ray.num_gpus},
        autoscaling_config=AutoscalingConfig(
            min_replicas=ray.min_replicas,
            max_replicas=ray.max_replicas,
            target_ongoing_requests=ray.target_ongoing_requests,
            upscale_delay_s=ray.upscale_delay_s,
            downscale_delay_s=ray.downscale_delay_s,
        ),
        max_ongoing_requests=ray.max_ongoing_requests,
        max_queued_requests=ray.max_queued_requests,
        graceful_shutdown_wait_loop_s=WAIT_LOOP_S,
        graceful_shutdown_timeout_s=settings.drain_s + END_S,
        health_check_period_s=ray.health_check_period_s,
        health_check_timeout_s=ray.health_check_timeout_s,
    )(serve.ingress(_builder(settings))(_replica(settings, ray)))


def _builder(settings: Settings) -> Callable[[], Stateful]:
    def build() -> Stateful:  # a function of its own, because Ray looks for one
        return Stateful(create_app(settings))

    return build


def _replica(settings: Settings, ray: RaySettings) -> type:
    class Replica:
        app: Stateful
        """Ray builds it, and starts its lifespan, before it asks anything of a replica."""

        def __init__(self) -> None:
            self._was_ready = False
            if ray.metrics_port:
                _expose_metrics(settings.host, ray.metrics_port, ray.max_replicas)

        async def check_health(self) -> None:
            """Ready before the first request; afterwards alive, which is to answer this at all.

            Ray replaces a replica that fails here. While Redis is away that would end every replica, and with them
            the answers by popularity; /readyz tells of it all the same.
            """
            health_monitor: HealthMonitor = self.app.state["health_monitor"]
            if not self._was_ready and health_monitor.store_problem is not None:
                raise StoreUnavailable(health_monitor.store_problem)
            self._was_ready = True

    return Replica


def _expose_metrics(host: str, first: int, ports: int) -> None:
    """/metrics of this replica alone, because one that a proxy answers is that of any replica."""
    for port in range(first, first + ports):
        try:
            start_http_server(port, addr=host)
        except OSError:  # another replica of this machine has it
            continue
        return
    log.warning("no port from %d to %d is free: nobody sees the metrics of this replica", first, first + ports - 1)
