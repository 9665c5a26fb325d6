"""The Ray deployment without a cluster: options, health check, and the committed configuration file."""

from pathlib import Path
from typing import Any

import pytest

from app.errors import StoreUnavailable
from app.settings import Settings
from service_tests.support.ray_cluster import needs_ray
from service_tests.support.service import Service

pytestmark = [
    needs_ray,
    pytest.mark.optional,
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]

FILE = Path(__file__).parents[3] / "docker/ray-serve.yaml"


def make_deployment(settings: Settings, **options: Any) -> Any:
    from app.deployments import ray_serve
    from app.deployments.ray_settings import RaySettings

    return ray_serve.make_deployment(settings, RaySettings(**options))


def test_settings_are_passed_to_ray(settings: Settings) -> None:
    deployment = make_deployment(settings, num_gpus=0.25, min_replicas=2, max_replicas=8, target_ongoing_requests=24)
    assert deployment.ray_actor_options["num_gpus"] == 0.25
    scaling = deployment._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 8, 24)
    assert deployment._deployment_config.graceful_shutdown_timeout_s > settings.drain_s
    assert deployment.max_queued_requests > 0, "the queue is bounded"


@pytest.mark.anyio
async def test_replica_becomes_ready_once_and_is_not_replaced_while_redis_is_down(service: Service) -> None:
    from app.deployments.lifespan_state import LifespanStateMiddleware
    from app.deployments.ray_serve import make_replica_class
    from app.deployments.ray_settings import RaySettings
    from app.main import create_app

    settings = service.state["settings"]
    replica = make_replica_class(settings, RaySettings())()
    replica.app = LifespanStateMiddleware(create_app(settings))
    replica.app.state.update(service.state)
    health_monitor = service.state["health_monitor"]
    health_monitor.store_problem = "Redis does not respond"
    with pytest.raises(StoreUnavailable):
        await replica.check_health()
    health_monitor.store_problem = None
    await replica.check_health()
    health_monitor.store_problem = "Redis does not respond"
    await replica.check_health()


def test_committed_configuration_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml
    from ray._common.utils import import_attr
    from ray.serve.schema import ServeDeploySchema

    from app.deployments.ray_settings import RaySettings

    [application] = ServeDeploySchema.model_validate(yaml.safe_load(FILE.read_text())).applications
    assert callable(import_attr(application.import_path))
    RaySettings.model_validate(application.args)
    for name, value in application.runtime_env["env_vars"].items():
        monkeypatch.setenv(name, value)
        assert name.removeprefix("NEXTUP_").lower() in Settings.model_fields
    Settings()
