"""A soak of a minute: everything stays flat; and a soak that meets a fault says so."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.bench.soak.flatness import Trend
from app.bench.soak.mixed_traffic import TrafficCounts
from app.bench.soak.soak import REQUIRED_SERIES, SoakResult, publish_twice
from app.commands.main import main
from app.model_repository.repository import ModelRepository
from service_tests.support.artifacts import write_tiny_artifact

FLAT = Trend(median=10.0, growth=0.1, bound=1.0, is_flat=True)
GROWING = Trend(median=10.0, growth=2.0, bound=1.0, is_flat=False)


def make_result(
    trends: dict[str, Trend] | None = None, disturbances: dict[str, int] | None = None, **faults: int
) -> SoakResult:
    counts = TrafficCounts()
    counts.faults.update(faults)
    return SoakResult(
        dict.fromkeys(REQUIRED_SERIES, FLAT) | (trends or {}), counts, disturbances or {"activation 200": 3}, {}
    )


def test_flat_series_without_faults_pass() -> None:
    assert make_result().failure_reasons == []
    killed = {"activation 200": 3, "activation closed": 1, "worker killed": 2}
    assert make_result(disturbances=killed).failure_reasons == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: make_result({"worker_handles": GROWING}), "worker_handles grows by 2, more than 1"),
        (lambda: make_result(timeout=2), "2 × timeout"),
        (lambda: make_result(disturbances={"activation 409": 1}), "1 × activation 409"),
    ],
)
def test_growth_faults_and_failed_activations_do_not_pass(make: Callable[[], SoakResult], reason: str) -> None:
    assert make().failure_reasons == [reason]
    assert make().to_dict()["passed"] is False


def test_soak_that_measured_nothing_does_not_pass() -> None:
    nothing = SoakResult({}, TrafficCounts(), {}, {})
    assert nothing.failure_reasons == [f"{name} has too few samples; soak for more minutes" for name in REQUIRED_SERIES]
    few = Trend(median=10.0, growth=0.0, bound=1.0, is_flat=None)
    assert make_result({"worker_handles": few}).failure_reasons == [nothing.failure_reasons[1]]


def test_two_versions_are_published_from_one_artifact(tmp_path: Path) -> None:
    artifact = write_tiny_artifact(tmp_path / "artifact")
    first, second = publish_twice(artifact, tmp_path / "models")
    assert second == f"{first}-copy"
    repository = ModelRepository(tmp_path / "models")
    assert {stored.version for stored in repository.list_versions()} == {first, second}
    assert repository.get_target_version() == first


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.optional
@pytest.mark.timeout(400)
def test_soak_of_a_minute_is_flat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = write_tiny_artifact(tmp_path / "artifact", num_items=300)
    status = main(["bench", "soak", "--minutes", "1.5", "--rate", "40", "--artifact", str(artifact)])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["failure_reasons"] == []
    assert status == 0
    assert result["disturbances"]["worker killed"] >= 2
    assert result["disturbances"]["activation 200"] >= 3
    assert {"worker_pss_bytes", "worker_handles", "store_keys", "metrics_files", "latency_p99_s"} <= set(
        result["series"]
    )
    assert len(result["bad_clients"]) >= 5
    assert min(result["calls"].get(name, 0) for name in ("recommend", "events", "batch", "merge", "erase")) > 0
