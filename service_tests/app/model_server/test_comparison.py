"""A new version is compared with the serving one on recent requests, and the previous one stays for a rollback."""

import asyncio
import dataclasses
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.errors import ArtifactRejected
from app.inference.comparison import Comparison
from app.inference.query import Query, TopItems
from app.inference.recent_queries import LIFETIME_S, MAX_KEYS, RecentQueries
from app.inference.servable import Servable, open_servable
from app.model_server.comparison import MIN_QUERIES, Limits, check_comparison, compare_versions
from app.runtime.erasures import announce_erasure
from models.catalogue.item_key import item_keys
from service_tests.support.experiments import poll
from service_tests.support.model_placements import model_process
from service_tests.support.service import Service
from service_tests.support.versions import publish_versions, write_tiny_artifacts
from service_tests.support.waiting import wait_until_async

__all__ = ["model_process"]
pytestmark = pytest.mark.anyio

ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]
REJECTED = 'nextup_model_reload_total{result="rejected"}'
GOOD = Comparison("a", 64, 64, 0, None, 0.5, 3.0, 4.0, 1.3)


def open_tiny(folder: Path) -> Servable:
    return open_servable(folder, device="cpu", threads=1, max_batch=4)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Servable, Servable]:
    first, second = write_tiny_artifacts(tmp_path_factory.mktemp("pair"), 1, 2)
    return open_tiny(first), open_tiny(second)


def make_queries(count: int) -> list[Query]:
    return [Query(history=item_keys([f"i{1 + n}", f"i{2 + n}"]), k=10) for n in range(count)]


class ChangedServable(Servable):
    """A version whose answers are changed, or which raises."""

    change: Callable[[TopItems], TopItems] = staticmethod(lambda top: top)

    def measure(self, query: Query, timeout_s: float) -> tuple[TopItems | Exception, float]:
        top, seconds = super().measure(query, timeout_s)
        assert isinstance(top, TopItems)
        try:
            return self.change(top), seconds
        except Exception as error:
            return error, seconds


def with_change(servable: Servable, change: Callable[[TopItems], TopItems]) -> ChangedServable:
    changed = ChangedServable(servable.artifact)
    changed.change = change
    return changed


def test_version_compared_with_itself_agrees(pair: tuple[Servable, Servable]) -> None:
    serving, _ = pair
    comparison = compare_versions(serving, serving, make_queries(MIN_QUERIES))
    assert (comparison.queries, comparison.recent_queries) == (MIN_QUERIES, MIN_QUERIES)
    assert (comparison.errors, comparison.overlap) == (0, 1.0)


def test_golden_histories_stand_in_for_missing_requests(pair: tuple[Servable, Servable]) -> None:
    comparison = compare_versions(*pair, make_queries(3))
    assert (comparison.queries, comparison.recent_queries) == (3 + 32, 3)
    assert comparison.overlap is not None
    assert 0 < comparison.overlap < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda top: dataclasses.replace(top, scores=[np.nan] * 10), "scores are not finite"),
        (lambda top: dataclasses.replace(top, scores=top.scores[::-1]), "scores rise"),
        (lambda top: dataclasses.replace(top, indices=[1] * 10), "an item occurs twice"),
        (lambda top: {}[top.version], "KeyError"),
    ],
)
def test_version_with_wrong_answers_is_rejected(
    pair: tuple[Servable, Servable], change: Callable[[TopItems], TopItems], message: str
) -> None:
    serving, candidate = pair
    comparison = compare_versions(serving, with_change(candidate, change), make_queries(MIN_QUERIES))
    assert comparison.errors == MIN_QUERIES
    with pytest.raises(ArtifactRejected, match=f"16 of 16 queries fail .*{message}"):
        check_comparison("b", comparison, Limits(is_strict=False))
    assert compare_versions(with_change(serving, change), candidate, make_queries(MIN_QUERIES)).errors == 0


def test_limits_reject_slow_and_different_versions() -> None:
    tenfold = Comparison("a", 64, 64, 0, None, 0.5, 3.0, 30.0, 10.0)
    with pytest.raises(ArtifactRejected, match=r"30 ms instead of 3 ms, 10 times as long; .*MAX_LATENCY_RATIO \(5\)"):
        check_comparison("b", tenfold, Limits())
    check_comparison("b", tenfold, Limits(max_latency_ratio=0))
    check_comparison("b", tenfold, Limits(is_strict=False))
    check_comparison("b", GOOD, Limits())
    with pytest.raises(ArtifactRejected, match=r"50\.0% of their items in common; .*MIN_OVERLAP \(0\.6\)"):
        check_comparison("b", GOOD, Limits(min_overlap=0.6))


def test_sample_is_small_and_holds_no_large_query_and_no_trace() -> None:
    sample = RecentQueries(4)
    large = Query(history=np.zeros(MAX_KEYS + 1, dtype=np.uint64), k=10)
    sample.record(large)
    assert len(sample) == 0
    sample.record(dataclasses.replace(make_queries(1)[0], times=lambda: np.array([1, 2], dtype=np.uint32)))
    (query,) = sample.list_queries()
    assert not callable(query.times)
    sample.record(make_queries(1)[0])
    assert len(sample) == 1, "two queries in the same millisecond"
    off = RecentQueries(0)
    off.record(make_queries(1)[0])
    assert len(off) == 0


def test_sample_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = RecentQueries(4)
    now = 1000.0
    monkeypatch.setattr("app.inference.recent_queries.time.monotonic", lambda: now)
    sample.record(make_queries(1)[0])
    now += LIFETIME_S + 1
    assert sample.list_queries() == []
    assert len(sample) == 0


@pytest.mark.usefixtures("model_process")
@pytest.mark.parametrize("is_merge", [False, True])
async def test_erasure_drops_the_sample(service: Service, new_user: Callable[[], str], is_merge: bool) -> None:
    user = new_user()
    await service.post_events(user, "i1", "i2")
    await service.recommend(user_id=user)
    assert len(service.model.engine.recent_queries) > 0
    if is_merge:
        erasure = await service.http.post(f"/users/{new_user()}/merge", json={"from": user})
    else:
        erasure = await service.http.delete(f"/users/{user}")
    assert erasure.status_code == 200
    await wait_until_async(lambda: not len(service.model.engine.recent_queries), 20, "the sample is dropped")


async def test_erasure_by_another_process_is_seen_before_the_sample_is_used(
    tmp_path: Path, service_with: ServiceWith
) -> None:
    folder = tmp_path / "models"
    _, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder) as service:
        await service.recommend(history=["i1", "i2"])
        announce_erasure(service.state["settings"].data_dir)
        body = (await service.http.post(f"/models/{second}/activate")).json()
        assert body["comparison"]["recent_queries"] == 0


@pytest.mark.usefixtures("model_process")
async def test_requests_with_rules_are_compared_by_what_the_models_answer(
    tmp_path: Path, service_with: ServiceWith
) -> None:
    """Promoted items may have lower scores than those after them, which would look like a fault of the model."""
    folder = tmp_path / "models"
    _, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder) as service:
        plain = await service.recommend(history=["i1", "i7"], k=60)
        last = plain["items"][-1]["item_id"]
        await service.http.put("/items", json={"items": [{"item_id": last, "attributes": {"brand": "b"}}]})
        rule = {"filter": {"attribute": "brand", "eq": "b"}, "positions": [1]}
        await asyncio.sleep(0.03)
        await poll(  # the model process follows the live catalogue
            lambda: service.recommend(history=["i1", "i7"], k=3, promote=[rule]),
            lambda ruled: bool(ruled["items"][0]["item_id"] == last),
        )
        activation = await service.http.post(f"/models/{second}/activate")
        assert activation.status_code == 200, activation.text
        assert activation.json()["comparison"]["recent_queries"] >= 2


@pytest.mark.usefixtures("model_process")
async def test_comparison_is_in_the_answer_in_metrics_and_in_the_log(
    tmp_path: Path, service_with: ServiceWith, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="nextup")
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder) as service:
        for n in range(1, 6):
            await service.recommend(history=[f"i{n}", "i7"])
            await asyncio.sleep(0.03)
        compared = 'nextup_shadow_queries_total{result="ok"}'
        before = await service.read_metric(compared)
        comparison = (await service.http.post(f"/models/{second}/activate")).json()["comparison"]
        assert comparison["serving_version"] == first
        assert comparison["recent_queries"] == 5
        assert comparison["queries"] == 5 + 32
        assert await service.read_metric(compared) == before + 37
        assert await service.read_metric("nextup_shadow_overlap_ratio") == comparison["overlap"]
        assert await service.read_metric("nextup_shadow_latency_ratio") == comparison["latency_ratio"]
    assert f"version {second} compared with version {first} on 37 queries (5 recent requests): 0 errors" in caplog.text


async def test_version_with_too_little_overlap_is_rejected(tmp_path: Path, service_with: ServiceWith) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder, shadow_min_overlap=0.9) as service:
        rejected_before = await service.read_metric(REJECTED)
        response = await service.http.post(f"/models/{second}/activate")
        assert response.status_code == 409
        assert "NEXTUP_SHADOW_MIN_OVERLAP (0.9)" in response.json()["detail"]
        assert (await service.recommend(history=["i1"]))["model_version"] == first
        assert await service.read_metric(REJECTED) == rejected_before + 1


@pytest.mark.usefixtures("model_process")
async def test_rollback_reads_nothing_and_both_versions_stay_in_memory(
    tmp_path: Path, service_with: ServiceWith
) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder) as service:

        async def activate(version: str) -> httpx.Response:
            return await service.http.post(f"/models/{version}/activate")

        assert (await activate(second)).status_code == 200
        models = (await service.http.get("/models")).json()
        assert (models["active"], models["previous_version"]) == (second, first)
        for version in (first, second):  # only the manifests remain
            for file in (folder / version).iterdir():
                if file.name != "manifest.json":
                    file.unlink()
        for version in (first, second, first):
            body = (await activate(version)).json()
            assert (body["active"], body["comparison"]) == (version, None)
            assert (await service.recommend(history=["i1"]))["model_version"] == version


async def test_without_keeping_a_rollback_loads_again(tmp_path: Path, service_with: ServiceWith) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder, keep_previous=False) as service:
        assert (await service.http.post(f"/models/{second}/activate")).status_code == 200
        shutil.rmtree(folder / first)
        assert (await service.http.post(f"/models/{first}/activate")).status_code == 404


async def test_version_is_compared_while_requests_are_answered(tmp_path: Path, service_with: ServiceWith) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder, keep_previous=False) as service:
        is_stopping = False

        async def send_requests() -> None:
            while not is_stopping:
                answer = await service.recommend(history=["i3", "i4"])
                assert answer["served_by"] == "model"

        callers = [asyncio.create_task(send_requests()) for _ in range(4)]
        for version in (second, first):
            response = await service.http.post(f"/models/{version}/activate")
            assert response.status_code == 200, response.text
        is_stopping = True
        await asyncio.gather(*callers)
