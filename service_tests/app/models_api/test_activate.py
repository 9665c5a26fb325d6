"""POST /models/{version}/activate: another version serves, without a failed or mixed response."""

import asyncio
import gc
import shutil
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.model_repository.repository import ModelRepository
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.service import Service
from service_tests.support.versions import add_versions, corrupt_byte, publish_versions, write_tiny_artifacts

pytestmark = pytest.mark.anyio

ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]
RELOADS = 'nextup_model_reload_total{{result="{}"}}'


def get_item_ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@dataclass
class Running:
    """A service on a repository of two versions, of which the first serves."""

    service: Service
    folder: Path
    first: str
    second: str

    async def activate(self, version: str) -> httpx.Response:
        return await self.service.http.post(f"/models/{version}/activate")

    async def get_serving_version(self) -> str:
        version: str = (await self.service.recommend(history=["i1"]))["model_version"]
        return version

    async def recommend_items(self) -> list[str]:
        return get_item_ids(await self.service.recommend(history=["i3"]))

    async def count_reloads(self, result: str) -> float:
        return await self.service.read_metric(RELOADS.format(result))


@pytest.fixture
async def running(tmp_path: Path, service_with: ServiceWith) -> AsyncIterator[Running]:
    first, second = publish_versions(tmp_path / "models", *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=tmp_path / "models") as service:
        yield Running(service, tmp_path / "models", first, second)


async def test_activated_version_answers_and_can_be_rolled_back(running: Running) -> None:
    before = await running.service.recommend(history=["i1", "i2"])
    reloads_before = await running.count_reloads("ok")
    response = await running.activate(running.second)
    body = response.json()
    comparison = body.pop("comparison")
    assert (response.status_code, body) == (
        200,
        {"active": running.second, "target_version": running.second, "previous": running.first},
    )
    assert (comparison["serving_version"], comparison["recent_queries"], comparison["errors"]) == (running.first, 1, 0)
    after = await running.service.recommend(history=["i1", "i2"])
    assert after["model_version"] == running.second
    assert after["items"] != before["items"]
    assert (running.folder / "current").read_text() == f"{running.second}\n"
    assert (await running.activate(running.first)).json()["previous"] == running.second
    rolled_back = await running.service.recommend(history=["i1", "i2"])
    assert (rolled_back["model_version"], rolled_back["items"]) == (running.first, before["items"])
    assert await running.count_reloads("ok") == reloads_before + 2


async def test_activating_the_serving_version_loads_nothing(running: Running) -> None:
    reloads_before = await running.count_reloads("ok")
    activation = (await running.activate(running.first)).json()
    versions = {"active": running.first, "target_version": running.first, "previous": None}
    assert activation == versions | {"comparison": None}
    assert await running.count_reloads("ok") == reloads_before


async def test_previous_is_the_version_of_a_rollback_also_if_the_version_served_already(running: Running) -> None:
    for _ in range(2):
        assert (await running.activate(running.second)).json()["previous"] == running.first
        models = (await running.service.http.get("/models")).json()
        assert (models["target_version"], models["previous_version"]) == (running.second, running.first)


async def test_metrics_describe_only_the_active_version(running: Running) -> None:
    await running.activate(running.second)
    text = (await running.service.http.get("/metrics")).text
    (info,) = [line for line in text.splitlines() if line.startswith("nextup_model_info{")]
    assert f'version="{running.second}"' in info


async def test_list_contains_every_version_and_marks_the_active_one(running: Running) -> None:
    await running.activate(running.second)
    models = (await running.service.http.get("/models")).json()
    assert (models["active"], models["target_version"]) == (running.second, running.second)
    by_version = {model["version"]: model for model in models["models"]}
    assert by_version.keys() == {running.first, running.second}
    inactive, active = by_version[running.first], by_version[running.second]
    assert (inactive["active"], inactive["num_items"], inactive["bytes"]) == (False, None, {})
    assert (active["active"], active["num_items"], active["max_len"]) == (True, 60, 40)
    files = (running.folder / running.first).iterdir()
    assert inactive["disk_bytes"] == sum(
        file.stat().st_size for file in files if file.name not in ("manifest.json", ".published")
    )


async def test_model_bytes_describe_the_active_version(running: Running, tmp_path: Path) -> None:
    (large,) = add_versions(running.folder, write_tiny_artifact(tmp_path / "large", num_items=200))
    assert (await running.activate(large)).status_code == 200
    assert await running.service.read_metric('nextup_model_bytes{part="embedding"}') == 201 * 16 * 4


async def test_unpublished_version_is_not_found(running: Running) -> None:
    for version in ("20200101-000000-abcdefab", "..", "current", "manifest.json"):
        response = await running.activate(version)
        assert response.status_code == 404
        assert str(running.folder.parent) not in response.text
    assert await running.get_serving_version() == running.first


@pytest.mark.parametrize("name", ["model.safetensors", "catalogue.parquet", "golden.json"])
async def test_corrupt_version_is_rejected_and_the_old_one_keeps_serving(running: Running, name: str) -> None:
    corrupt_byte(running.folder / running.second, name)
    rejected_before = await running.count_reloads("rejected")
    response = await running.activate(running.second)
    assert (response.status_code, response.json()["title"]) == (409, "Artifact rejected")
    assert name in response.json()["detail"]
    assert str(running.folder.parent) not in response.text, "callers see no folder of this machine"
    assert await running.get_serving_version() == running.first
    assert (running.folder / "current").read_text() == f"{running.first}\n", "the target of the other workers is kept"
    assert await running.count_reloads("rejected") == rejected_before + 1


async def test_concurrent_activation_is_rejected(running: Running) -> None:
    busy_before = await running.count_reloads("busy")
    activation = asyncio.create_task(running.activate(running.second))
    while not running.service.model.manager.is_loading:  # noqa: ASYNC110 - the load runs in this event loop
        await asyncio.sleep(0)
    rejected = await running.activate(running.first)
    assert (rejected.status_code, rejected.json()["title"]) == (409, "Activation in progress")
    assert rejected.headers["retry-after"] == "1"
    assert (await activation).status_code == 200
    assert await running.get_serving_version() == running.second
    assert await running.count_reloads("busy") == busy_before + 1


async def test_activation_is_rejected_during_one_in_another_process(running: Running) -> None:
    with ModelRepository(running.folder).exclusive_lock():
        assert (await running.activate(running.second)).json()["title"] == "Activation in progress"
    assert await running.get_serving_version() == running.first
    assert (await running.activate(running.second)).status_code == 200


async def test_activations_under_load_lose_no_request_and_mix_no_versions(running: Running) -> None:
    """Items of a response are those of the version that it names, whichever served when it was built."""
    items = {running.first: await running.recommend_items()}
    await running.activate(running.second)
    items[running.second] = await running.recommend_items()
    mixed: list[dict[str, Any]] = []
    counts = dict.fromkeys(items, 0)
    is_stopping = False

    async def send_requests() -> None:
        while not is_stopping:
            answer = await running.service.recommend(history=["i3"])
            counts[answer["model_version"]] += 1
            if answer["served_by"] != "model" or get_item_ids(answer) != items[answer["model_version"]]:
                mixed.append(answer)

    callers = [asyncio.create_task(send_requests()) for _ in range(8)]
    for version in (running.first, running.second, running.first):
        assert (await running.activate(version)).status_code == 200
    is_stopping = True
    await asyncio.gather(*callers)  # a status other than 200 would raise here
    assert mixed == []
    assert min(counts.values()) > 0


async def test_response_explains_items_that_the_new_catalogue_does_not_contain(
    running: Running, tmp_path: Path
) -> None:
    """The swap happens between the batch and its response, which then belongs to the old version."""
    service = running.service
    (small,) = add_versions(running.folder, write_tiny_artifact(tmp_path / "small", num_items=12))
    engine = service.state["engine"]
    find_top_items = engine.find_top_items

    async def find_and_swap(*arguments: Any) -> Any:
        top = await find_top_items(*arguments)
        await running.activate(small)
        return top

    engine.find_top_items = find_and_swap  # type: ignore[assignment, method-assign]
    answer = await service.recommend(history=["i1"], k=30, explain=True)
    assert answer["model_version"] == running.first
    assert len({item["title"] for item in answer["items"]}) == 30
    assert await running.get_serving_version() == small


async def test_previous_version_is_freed_if_it_is_not_kept(tmp_path: Path, service_with: ServiceWith) -> None:
    first, second = publish_versions(tmp_path / "models", *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=tmp_path / "models", keep_previous=False) as service:
        running = Running(service, tmp_path / "models", first, second)
        engine = running.service.model.engine
        servable = weakref.ref(engine.servable)
        weights = weakref.ref(next(engine.servable.artifact.predictor.model.parameters()))
        await running.activate(running.second)
        await running.get_serving_version()
        gc.collect()
        assert servable() is None
        assert weights() is None


async def test_service_on_a_single_artifact_activates_published_versions_and_rolls_back(
    tiny_artifact: Path, tmp_path: Path, service_with: ServiceWith
) -> None:
    folder = tmp_path / "single"
    shutil.copytree(tiny_artifact, folder)
    async with service_with(artifact=folder) as service:
        models = (await service.http.get("/models")).json()
        assert models["target_version"] == models["active"]
        assert [model["disk_bytes"] > 0 for model in models["models"]] == [True]
        (published,) = add_versions(folder, *write_tiny_artifacts(tmp_path, 5))
        for version in (published, models["active"]):
            assert (await service.http.post(f"/models/{version}/activate")).json()["active"] == version
            assert (await service.recommend(history=["i1"]))["model_version"] == version
