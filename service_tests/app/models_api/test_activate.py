"""POST /models/{version}/activate: another version serves, and no request notices but by its answer."""

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


def names(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@dataclass
class Running:
    service: Service
    folder: Path
    first: str
    second: str

    async def activate(self, version: str) -> httpx.Response:
        return await self.service.http.post(f"/models/{version}/activate")

    async def serving(self) -> str:
        version: str = (await self.service.recommend(history=["i1"]))["model_version"]
        return version

    async def items(self) -> list[str]:
        return names(await self.service.recommend(history=["i3"]))

    async def reloads(self, result: str) -> float:
        return await self.service.read_metric(RELOADS.format(result))


@pytest.fixture
async def running(tmp_path: Path, service_with: ServiceWith) -> AsyncIterator[Running]:
    first, second = publish_versions(tmp_path / "models", *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=tmp_path / "models") as service:
        yield Running(service, tmp_path / "models", first, second)


async def test_the_activated_version_answers_and_the_way_back_is_the_same(running: Running) -> None:
    before = await running.service.recommend(history=["i1", "i2"])
    oks = await running.reloads("ok")
    answer = await running.activate(running.second)
    assert (answer.status_code, answer.json()) == (
        200,
        {"active": running.second, "wanted": running.second, "before": running.first},
    )
    after = await running.service.recommend(history=["i1", "i2"])
    assert after["model_version"] == running.second
    assert after["items"] != before["items"]
    assert (running.folder / "current").read_text() == f"{running.second}\n"
    assert (await running.activate(running.first)).json()["before"] == running.second
    again = await running.service.recommend(history=["i1", "i2"])
    assert (again["model_version"], again["items"]) == (running.first, before["items"])
    assert await running.reloads("ok") == oks + 2


async def test_activating_what_serves_already_loads_nothing(running: Running) -> None:
    oks = await running.reloads("ok")
    answer = (await running.activate(running.first)).json()
    assert answer == {"active": running.first, "wanted": running.first, "before": running.first}
    assert await running.reloads("ok") == oks


async def test_the_metrics_tell_of_the_active_version_alone(running: Running) -> None:
    await running.activate(running.second)
    text = (await running.service.http.get("/metrics")).text
    shown = [line for line in text.splitlines() if line.startswith("nextup_model_info{")]
    assert len(shown) == 1
    assert f'version="{running.second}"' in shown[0]


async def test_the_list_has_every_version_and_says_which_serves(running: Running) -> None:
    await running.activate(running.second)
    told = (await running.service.http.get("/models")).json()
    assert (told["active"], told["wanted"]) == (running.second, running.second)
    by_version = {model["version"]: model for model in told["models"]}
    assert by_version.keys() == {running.first, running.second}
    resting, serving = by_version[running.first], by_version[running.second]
    assert (resting["active"], resting["num_items"], resting["bytes"]) == (False, None, {})
    assert (serving["active"], serving["num_items"], serving["max_len"]) == (True, 60, 40)
    files = (running.folder / running.first).iterdir()
    assert resting["disk_bytes"] == sum(file.stat().st_size for file in files if file.name != "manifest.json")


async def test_the_bytes_of_the_model_follow(running: Running, tmp_path: Path) -> None:
    (large,) = add_versions(running.folder, write_tiny_artifact(tmp_path / "large", num_items=200))
    assert (await running.activate(large)).status_code == 200
    assert await running.service.read_metric('nextup_model_bytes{part="embedding"}') == 201 * 16 * 4


async def test_a_version_that_nobody_published_is_not_found(running: Running) -> None:
    for version in ("20200101-000000-abcdefab", "..", "current", "manifest.json"):
        assert (await running.activate(version)).status_code == 404
    assert await running.serving() == running.first


@pytest.mark.parametrize("name", ["model.safetensors", "catalogue.parquet", "golden.json"])
async def test_a_changed_byte_is_refused_and_the_old_version_goes_on(running: Running, name: str) -> None:
    corrupt_byte(running.folder / running.second, name)
    rejected = await running.reloads("rejected")
    answer = await running.activate(running.second)
    assert (answer.status_code, answer.json()["title"]) == (409, "Artifact rejected")
    assert name in answer.json()["detail"]
    assert await running.serving() == running.first
    assert (running.folder / "current").read_text() == f"{running.first}\n", "no other worker is sent after it"
    assert await running.reloads("rejected") == rejected + 1


async def test_a_second_activation_while_one_runs_is_refused_by_name(running: Running) -> None:
    busy = await running.reloads("busy")
    one = asyncio.create_task(running.activate(running.second))
    while not running.service.model.models.is_loading:  # noqa: ASYNC110 - a loop of this test's own turns
        await asyncio.sleep(0)
    other = await running.activate(running.first)
    assert (other.status_code, other.json()["title"], other.headers["retry-after"]) == (
        409,
        "Activation in progress",
        "1",
    )
    assert (await one).status_code == 200
    assert await running.serving() == running.second
    assert await running.reloads("busy") == busy + 1


async def test_an_activation_in_another_process_is_refused_just_so(running: Running) -> None:
    with ModelRepository(running.folder).exclusive_lock():
        assert (await running.activate(running.second)).json()["title"] == "Activation in progress"
    assert await running.serving() == running.first
    assert (await running.activate(running.second)).status_code == 200


async def test_no_request_is_lost_and_each_answer_is_of_one_version(running: Running) -> None:
    """Items of an answer are those of the version that it names, whichever served when it was shaped."""
    items = {running.first: await running.items()}
    await running.activate(running.second)
    items[running.second] = await running.items()
    wrong: list[dict[str, Any]] = []
    counts = dict.fromkeys(items, 0)
    ended = False

    async def asking() -> None:
        while not ended:
            answer = await running.service.recommend(history=["i3"])
            counts[answer["model_version"]] += 1
            if answer["served_by"] != "model" or names(answer) != items[answer["model_version"]]:
                wrong.append(answer)

    callers = [asyncio.create_task(asking()) for _ in range(8)]
    for version in (running.first, running.second, running.first):
        assert (await running.activate(version)).status_code == 200
    ended = True
    await asyncio.gather(*callers)  # a status other than 200 would raise here
    assert wrong == []
    assert min(counts.values()) > 0


async def test_an_answer_explains_items_that_the_new_catalogue_does_not_have(running: Running, tmp_path: Path) -> None:
    """The change happens between the batch and its answer, which is of the old version then."""
    service = running.service
    (small,) = add_versions(running.folder, write_tiny_artifact(tmp_path / "small", num_items=12))
    engine = service.state["engine"]
    ask = engine.find_top_items

    async def changed_after(*arguments: Any) -> Any:
        top = await ask(*arguments)
        await running.activate(small)
        return top

    engine.find_top_items = changed_after  # type: ignore[assignment, method-assign]
    answer = await service.recommend(history=["i1"], k=30, explain=True)
    assert answer["model_version"] == running.first
    assert len({item["title"] for item in answer["items"]}) == 30
    assert await running.serving() == small


async def test_the_version_before_is_freed(running: Running) -> None:
    old = weakref.ref(running.service.model.engine.servable)
    weights = weakref.ref(next(running.service.model.engine.servable.artifact.predictor.model.parameters()))
    await running.activate(running.second)
    await running.serving()
    gc.collect()
    assert old() is None
    assert weights() is None


async def test_a_service_on_a_single_artifact_takes_published_versions_and_goes_back(
    tiny_artifact: Path, tmp_path: Path, service_with: ServiceWith
) -> None:
    folder = tmp_path / "single"
    shutil.copytree(tiny_artifact, folder)
    async with service_with(artifact=folder) as service:
        first = (await service.http.get("/models")).json()
        assert first["wanted"] == first["active"]
        assert [model["disk_bytes"] > 0 for model in first["models"]] == [True]
        (second,) = write_tiny_artifacts(tmp_path, 5)
        (version,) = add_versions(folder, second)
        for wanted in (version, first["active"]):
            assert (await service.http.post(f"/models/{wanted}/activate")).json()["active"] == wanted
            assert (await service.recommend(history=["i1"]))["model_version"] == wanted
