"""The deployment as Ray reads it, without a cluster: its numbers, its health, and the committed file of its options."""

from pathlib import Path
from typing import Any

import pytest

from app.errors import StoreUnavailable
from app.settings import Settings
from service_tests.support.ray_cluster import needs_ray
from service_tests.support.service import Service

pytestmark = [needs_ray, pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")]

FILE = Path(__file__).parents[3] / "docker/ray-serve.yaml"


def deployment(settings: Settings, **given: Any) -> Any:
    from app.deployments import ray_serve
    from app.deployments.ray_settings import RaySettings

    return ray_serve.deployment(settings, RaySettings(**given))


def test_the_numbers_reach_ray(settings: Settings) -> None:
    made = deployment(settings, num_gpus=0.25, min_replicas=2, max_replicas=8, target_ongoing_requests=24)
    assert made.ray_actor_options["num_gpus"] == 0.25
    scaling = made._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 8, 24)
    assert made._deployment_config.graceful_shutdown_timeout_s > settings.drain_s
    assert made.max_queued_requests > 0, "no queue without a bound"


@pytest.mark.anyio
async def test_a_replica_must_be_ready_once_and_is_not_replaced_while_redis_is_away(service: Service) -> None:
    from app.deployments.ray_serve import _replica
    from app.deployments.ray_settings import RaySettings
    from app.deployments.stateful import Stateful
    from app.main import create_app

    settings = service.state["settings"]
    replica = _replica(settings, RaySettings())()
    replica.app = Stateful(create_app(settings))
    replica.app.state.update(service.state)
    health_monitor = service.state["health_monitor"]
    health_monitor.store_problem = "Redis does not answer"
    with pytest.raises(StoreUnavailable):
        await replica.check_health()
    health_monitor.store_problem = None
    await replica.check_health()
    health_monitor.store_problem = "Redis does not answer"
    await replica.check_health()


def test_the_committed_file_names_what_exists(monkeypatch: pytest.MonkeyPatch) -> None:
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
