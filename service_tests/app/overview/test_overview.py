"""GET /overview: the serving version, and what all requests of the last minutes add up to."""

import asyncio
import json
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.overview.service import compute_quantile
from app.telemetry.activity import count_metrics
from app.telemetry.deferred_metrics import flush
from app.telemetry.metrics import LATENCY_BUCKETS
from models.artifact import write_manifest
from models.manifest import MANIFEST
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.model_placements import model_process as model_process
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


async def read(service: Service) -> dict[str, Any]:
    response = await service.http.get("/overview")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_requests_are_counted_by_source_with_latency_and_batch_size(service: Service) -> None:
    before = await read(service)
    for _ in range(3):
        await service.recommend(history=["i1"])
    await service.recommend(user_id="nobody-of-the-overview")
    async with asyncio.timeout(60):
        while (after := await read(service))["served_by"] == before["served_by"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    added = {source: count - before["served_by"][source] for source, count in after["served_by"].items()}
    assert added == {"model": 3, "cache": 0, "neighbours": 0, "popularity": 1}
    assert after["requests_per_second"] > 0
    assert 0 < after["latency_seconds"]["p50"] <= after["latency_seconds"]["p99"]
    assert after["batch_size"] >= 1


async def test_series_have_a_value_or_null_per_interval_of_five_minutes(service: Service) -> None:
    series = (await read(service))["series"]
    assert {name: len(values) for name, values in series.items()} == dict.fromkeys(series, 60)
    assert set(np.diff(series["seconds"])) == {5.0}


async def test_requests_of_operators_are_not_counted(service: Service) -> None:
    flush()
    (before, *_) = count_metrics()
    for path in ("/overview", "/metrics", "/livez", "/", "/models", "/nowhere"):
        await service.http.get(path)
    flush()
    assert count_metrics()[0] == before
    await service.http.get("/users")
    flush()
    assert count_metrics()[0] == before + 1


async def test_figures_and_memory_are_those_of_the_artifact(
    service_with: Callable[..., AbstractAsyncContextManager[Service]], tmp_path: Path
) -> None:
    folder = write_tiny_artifact(tmp_path / "artifact")
    manifest = json.loads((folder / MANIFEST).read_text())
    verdict = {"metric": "ndcg@10", "best_baseline": "markov", "baseline": 0.04, "message": None}
    write_manifest(folder, manifest | {"figures": {"ndcg@10": 0.05}, "verdict": verdict})
    async with service_with(artifact=folder) as service:
        answer = await read(service)
    assert answer["figures"] == {"model": {"ndcg@10": 0.05}, "baselines": {"markov": {"ndcg@10": 0.04}}}
    assert (answer["version"], answer["preset"]) == (manifest["version"], "sasrec")
    vectors = 61 * 16 * 4
    sizes = {part["part"]: part["uncompressed_bytes"] for part in answer["memory"]}
    assert sizes == {"embedding": vectors, "encoder": None, "head": vectors, "catalogue": None, "workspace": None}
    assert answer["loaded_at"] > 1_700_000_000


def test_quantiles_are_those_of_prometheus() -> None:
    counts = np.zeros(len(LATENCY_BUCKETS) + 1)
    assert compute_quantile(counts, 0.5) is None
    counts[3] = 10  # 0.5 to 1 ms
    assert math.isclose(compute_quantile(counts, 0.5) or 0, 0.00075)
    counts[-1] = 1000  # behind the largest bound
    assert compute_quantile(counts, 0.99) == LATENCY_BUCKETS[-1]
