"""What a deployment on Ray refuses before anything runs, by the name of the variable."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.deployments.ray_settings import RaySettings, settings_for_replicas
from app.settings import Settings

DOCUMENT = Path(__file__).parents[3] / "docs/scale-ray.md"
SHARED = {"redis_url": "redis://redis:6379", "allow_anonymous": True}


@pytest.mark.parametrize("name", RaySettings.model_fields)
def test_each_setting_is_documented_with_its_default(name: str) -> None:
    field = RaySettings.model_fields[name]
    row = f"| `NEXTUP_RAY_{name.upper()}` | {field.default} | {field.description} |"
    assert row in DOCUMENT.read_text().splitlines()


@pytest.mark.parametrize(
    ("name", "service", "ray"),
    [
        ("NEXTUP_REDIS_URL", {"redis_url": None}, {}),
        ("NEXTUP_WORKERS", {"workers": 2}, {}),
        ("NEXTUP_API_KEYS", {"allow_anonymous": False}, {}),
        ("NEXTUP_RAY_NUM_GPUS", {"device": "cuda"}, {}),
        ("NEXTUP_RAY_METRICS_PORT", {"metrics_key": "secret"}, {"metrics_port": 9101}),
    ],
)
def test_settings_that_replicas_cannot_have_are_refused_by_name(
    name: str, service: dict[str, object], ray: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=f"^{name}:"):
        settings_for_replicas(Settings(**{**SHARED, **service}), RaySettings(**ray))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("named", "given"),
    [
        ("num_gpus", {"num_gpus": 1.5}),
        ("max_replicas", {"min_replicas": 3, "max_replicas": 2}),
        ("max_ongoing_requests", {"max_ongoing_requests": 8}),
        ("max_replica", {"max_replica": 2}),
    ],
)
def test_numbers_that_do_not_fit_are_refused_by_name(named: str, given: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=named):
        RaySettings(**given)  # type: ignore[arg-type]


def test_they_come_from_the_environment_and_an_argument_goes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTUP_RAY_NUM_GPUS", "0.25")
    monkeypatch.setenv("NEXTUP_RAY_MAX_REPLICAS", "8")
    settings = RaySettings.model_validate({"max_replicas": "2"})  # as `serve run` gives them
    assert (settings.num_gpus, settings.max_replicas) == (0.25, 2)


def test_a_replica_computes_on_the_cores_that_ray_gives_it_unless_told_otherwise() -> None:
    ray = RaySettings(num_cpus=3)
    assert settings_for_replicas(Settings(**SHARED), ray).torch_threads == 3  # type: ignore[arg-type]
    assert settings_for_replicas(Settings(**SHARED, torch_threads=2), ray).torch_threads == 2  # type: ignore[arg-type]
    assert settings_for_replicas(Settings(**SHARED), RaySettings(num_cpus=0.5)).torch_threads == 1  # type: ignore[arg-type]
