"""A real service takes what was planned, within a tenth: one worker and two, both presets, after requests."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from app.bench.load.profile import Plan
from app.bench.load.traffic import drawn, histories_of, read_bodies
from app.bench.resources import read_resident
from app.bench.serve.rounds import run_round
from app.bench.serve.service import run_service
from app.capacity.artifact_files import ItemText
from app.capacity.base_memory import Base, base_of_here
from app.capacity.memory import worker_memory
from app.capacity.shapes import shape_of
from app.commands.load import load_events
from app.commands.store import redis_url
from app.settings import Settings
from models.benchmarks.synthetic_artifact import law_of, made_artifact
from models.presets import preset

WITHIN = 0.1
SERVICES = [("blossom", 1000, 2), ("blossom", 50_000, 1), ("sasrec", 50_000, 1)]
PLAN = Plan("127.0.0.1", 0, "", ("",), connections=32, warm_up_s=0.2, seconds=1.5, timeout_s=20.0)


@pytest.fixture(scope="module")
def base() -> Base:
    return base_of_here()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "items", "workers"), SERVICES)
def test_resident_memory_is_as_planned(
    name: str, items: int, workers: int, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not base.is_measured:
        pytest.skip("needs /proc")
    for variable, value in (("TORCH_THREADS", "1"), ("DATA_DIR", str(tmp_path)), ("REQUEST_DEADLINE_MS", "10000")):
        monkeypatch.setenv(f"NEXTUP_{variable}", value)
    settings = Settings(artifact=made_artifact(tmp_path, name, items), workers=workers)
    events = histories_of(law_of(items, users=200))
    asking = read_bodies(drawn(events["user_id"].to_list(), None, 500, 0), 10)
    with redis_url(settings) as url:  # of its own: these users have the names of others
        asyncio.run(load_events(url, settings, events))
        with run_service(settings, url) as service:
            answered = run_round(service.target, replace(PLAN, bodies=tuple(asking))).tally
            found = read_resident(service.process.pid)
    assert answered.answered > 50
    assert found is not None
    planned = worker_memory(shape_of(preset(name), items), ItemText.numbered(items), base.resident).together(workers)
    assert found.total == pytest.approx(planned.total, rel=WITHIN), (found, planned)
    assert found.mapped == pytest.approx(planned.mapped, rel=WITHIN), (found, planned)


def test_a_supervisor_and_a_copy_of_what_is_own_come_with_the_second_worker(base: Base) -> None:
    one = worker_memory(shape_of(preset("blossom"), 1_000_000), ItemText.numbered(1_000_000), base.resident)
    assert one.together(2).mapped == one.together(1).mapped
    assert one.together(3).own - one.together(2).own == one.own
    assert one.together(2).own - one.together(1).own > one.own
    assert one.mapped_at_start < one.mapped
