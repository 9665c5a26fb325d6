"""Settings of the Ray deployment: bounds, documentation, and errors that name the variable."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.deployments.ray_settings import RaySettings, make_replica_settings
from app.settings import Settings

DOCUMENT = Path(__file__).parents[3] / "docs/reference/configuration.md"
VALID = {"redis_url": "redis://redis:6379", "allow_anonymous": True}


@pytest.mark.parametrize("name", RaySettings.model_fields)
def test_setting_is_documented_with_its_default(name: str) -> None:
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
def test_incompatible_service_setting_raises_and_names_the_variable(
    name: str, service: dict[str, object], ray: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=f"^{name}:"):
        make_replica_settings(Settings(**{**VALID, **service}), RaySettings(**ray))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("num_gpus", {"num_gpus": 1.5}),
        ("max_replicas", {"min_replicas": 3, "max_replicas": 2}),
        ("max_ongoing_requests", {"max_ongoing_requests": 8}),
        ("max_replica", {"max_replica": 2}),
    ],
)
def test_invalid_value_raises_and_names_the_field(field: str, values: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=field):
        RaySettings(**values)  # type: ignore[arg-type]


def test_arguments_take_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTUP_RAY_NUM_GPUS", "0.25")
    monkeypatch.setenv("NEXTUP_RAY_MAX_REPLICAS", "8")
    settings = RaySettings.model_validate({"max_replicas": "2"})  # `serve run` passes strings
    assert (settings.num_gpus, settings.max_replicas) == (0.25, 2)


def test_replica_uses_the_reserved_cores_unless_threads_are_set() -> None:
    ray = RaySettings(num_cpus=3)
    assert make_replica_settings(Settings(**VALID), ray).torch_threads == 3  # type: ignore[arg-type]
    assert make_replica_settings(Settings(**VALID, torch_threads=2), ray).torch_threads == 2  # type: ignore[arg-type]
    assert make_replica_settings(Settings(**VALID), RaySettings(num_cpus=0.5)).torch_threads == 1  # type: ignore[arg-type]
