"""Measured service memory is within 10 % of the estimate: one and two workers, both presets, after requests."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from app.bench.load.profile import LoadProfile
from app.bench.load.requests import build_read_bodies, sample_by_weight
from app.bench.resources import ResidentMemory, read_resident
from app.bench.serve.rounds import run_round
from app.bench.serve.servers import run_service
from app.capacity.artifact_files import ItemText
from app.capacity.base_memory import BaseMemory, measure_base_memory
from app.capacity.memory import estimate_worker_memory
from app.capacity.shapes import compute_shape
from app.cli.load_histories import load_events
from app.settings import Settings
from app.stores.session import redis_url
from models.benchmarks.synthetic_artifact import generate_events, make_log_config, make_synthetic_artifact
from models.presets import preset

pytestmark = pytest.mark.process

WITHIN = 0.1
SERVICES = [("blossom", 1000, 2), ("blossom", 50_000, 1), ("sasrec", 50_000, 1)]
MAX_SERVICES = 3
"""The heap of the same work differs by 40 MB: its median counts. The kernel may reclaim mapped pages, and adds none."""
PROFILE = LoadProfile("127.0.0.1", 0, "", ("",), connections=32, warm_up_s=0.2, seconds=1.5, timeout_s=20.0)


@pytest.fixture(scope="module")
def base() -> BaseMemory:
    return measure_base_memory()


def measure_service(settings: Settings, url: str, bodies: Sequence[str]) -> ResidentMemory:
    """Measure the memory of a service after a round of requests."""
    with run_service(settings, url) as service:
        result = run_round(service.target, replace(PROFILE, bodies=tuple(bodies))).result
        measured = read_resident(service.process.pid)
    assert result.ok_responses > 50
    assert measured is not None
    return measured


def is_near(measured: ResidentMemory, estimate: ResidentMemory) -> bool:
    return measured.total == pytest.approx(estimate.total, rel=WITHIN) and measured.mapped == pytest.approx(
        estimate.mapped, rel=WITHIN
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "items", "workers"), SERVICES)
def test_resident_memory_matches_the_estimate(
    name: str, items: int, workers: int, base: BaseMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not base.is_measured:
        pytest.skip("needs /proc")
    for variable, value in (("TORCH_THREADS", "1"), ("DATA_DIR", str(tmp_path)), ("REQUEST_DEADLINE_MS", "10000")):
        monkeypatch.setenv(f"NEXTUP_{variable}", value)
    settings = Settings(artifact=make_synthetic_artifact(tmp_path, name, items), workers=workers)
    events = generate_events(make_log_config(items, users=200))
    bodies = build_read_bodies(sample_by_weight(events["user_id"].to_list(), None, 500, 0), 10)
    estimate = estimate_worker_memory(
        compute_shape(preset(name), items), ItemText.from_count(items), base.resident
    ).total_for(workers)
    with redis_url(settings) as url:  # a separate one: other tests use the same user ids
        asyncio.run(load_events(url, settings, events))
        services = [measure_service(settings, url, bodies)]
        while not is_near(services[-1], estimate) and len(services) < MAX_SERVICES:
            services.append(measure_service(settings, url, bodies))
    own, mapped = median(service.own for service in services), max(service.mapped for service in services)
    assert is_near(ResidentMemory(round(own), mapped), estimate), (services, estimate)


def test_second_worker_adds_private_memory(base: BaseMemory) -> None:
    worker = estimate_worker_memory(
        compute_shape(preset("blossom"), 1_000_000), ItemText.from_count(1_000_000), base.resident
    )
    assert worker.total_for(2).mapped == worker.total_for(1).mapped
    assert worker.total_for(3).own - worker.total_for(2).own == worker.own
    assert worker.total_for(1).own > worker.own, "the supervisor"
    assert worker.mapped_at_start < worker.mapped
