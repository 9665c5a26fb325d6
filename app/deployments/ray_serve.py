"""Ray Serve application: `serve run app.deployments.ray_serve:application`.

Each replica is the whole service, with middleware and hot path, in a Ray process. Ray places the replicas, balances
requests, replaces dead replicas and scales their number. Settings are read once, where the deployment is created, and
passed to the replicas.
"""

import logging
from collections.abc import Callable
from typing import Any

from prometheus_client import start_http_server
from ray import serve
from ray.serve.config import AutoscalingConfig

from app.deployments.lifespan_state import LifespanStateMiddleware
from app.deployments.ray_settings import RaySettings, make_replica_settings
from app.environment import load_settings
from app.errors import StoreUnavailable
from app.health.monitor import HealthMonitor
from app.main import create_app
from app.settings import Settings

log = logging.getLogger("nextup")

NAME = "nextup"
CLOSE_TIMEOUT_S = 5.0
"""Time to close connections after draining; then Ray kills the process."""
SHUTDOWN_POLL_S = 1.0
"""How often a stopping replica checks for running requests; proxies no longer send any."""


def application(ray: RaySettings) -> serve.Application:
    """Application builder for `serve run` and `serve deploy`; their arguments are the fields of RaySettings."""
    application: serve.Application = make_deployment(make_replica_settings(load_settings(), ray), ray).bind()
    return application


def make_deployment(settings: Settings, ray: RaySettings) -> Any:
    """Create the Ray deployment class without starting anything."""
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
        graceful_shutdown_wait_loop_s=SHUTDOWN_POLL_S,
        graceful_shutdown_timeout_s=settings.drain_s + CLOSE_TIMEOUT_S,
        health_check_period_s=ray.health_check_period_s,
        health_check_timeout_s=ray.health_check_timeout_s,
    )(serve.ingress(_make_app_builder(settings))(make_replica_class(settings, ray)))


def _make_app_builder(settings: Settings) -> Callable[[], LifespanStateMiddleware]:
    def build() -> LifespanStateMiddleware:  # Ray requires a function here
        return LifespanStateMiddleware(create_app(settings))

    return build


def make_replica_class(settings: Settings, ray: RaySettings) -> type:
    """Create the class of a replica."""

    class Replica:
        """Ray sets `app` and starts its lifespan before it calls anything else."""

        app: LifespanStateMiddleware

        def __init__(self) -> None:
            self._was_ready = False
            if ray.metrics_port:
                _expose_metrics(settings.host, ray.metrics_port, ray.max_replicas)

        async def check_health(self) -> None:
            """Fail until the replica is ready once; afterwards responding at all means healthy.

            Ray replaces a replica that fails this check. If it depended on Redis, an outage would end every replica and
            with them the popularity fallback; /readyz still reports the outage.
            """
            health_monitor: HealthMonitor = self.app.state["health_monitor"]
            if not self._was_ready and health_monitor.store_problem is not None:
                raise StoreUnavailable(health_monitor.store_problem)
            self._was_ready = True

    return Replica


def _expose_metrics(host: str, first_port: int, num_ports: int) -> None:
    """Serve /metrics of this replica alone; a request through a proxy would reach any replica."""
    for port in range(first_port, first_port + num_ports):
        try:
            start_http_server(port, addr=host)
        except OSError:  # in use by another replica on this machine
            continue
        return
    last_port = first_port + num_ports - 1
    log.warning("no free port from %d to %d; metrics of this replica are not exposed", first_port, last_port)
