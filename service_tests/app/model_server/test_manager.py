"""Workers that were not asked: each comes to the version that is wanted, and a version that is refused moves nobody."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from app.model_repository.repository import ModelRepository
from service_tests.support.service import Service
from service_tests.support.versions import corrupt_byte, publish_versions, write_tiny_artifacts

pytestmark = pytest.mark.anyio

ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]
REJECTED = 'nextup_model_reload_total{result="rejected"}'


async def serving(service: Service) -> str:
    version: str = (await service.recommend(history=["i1"]))["model_version"]
    return version


async def test_a_worker_comes_to_the_version_that_another_process_wants(
    tmp_path: Path, service_with: ServiceWith
) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder) as service:
        assert await serving(service) == first
        ModelRepository(folder).set_target_version(second)
        async with asyncio.timeout(20):
            while await serving(service) != second:  # noqa: ASYNC110 - another process cannot set an event
                await asyncio.sleep(0.05)


async def test_a_wish_that_came_while_the_service_started_is_heard(tmp_path: Path, service_with: ServiceWith) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder) as service:
        models = service.model.models
        ModelRepository(folder).set_target_version(second)
        await models.poll()
        assert await serving(service) == second
        ModelRepository(folder).set_target_version(first)
        await models.poll()
        assert await serving(service) == first


async def test_a_wanted_version_that_is_broken_is_refused_once_and_the_old_one_goes_on(
    tmp_path: Path, service_with: ServiceWith
) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    corrupt_byte(folder / second)
    async with service_with(artifact=folder) as service:
        before = await service.read_metric(REJECTED)
        ModelRepository(folder).set_target_version(second)
        async with asyncio.timeout(10):  # the service may have begun to follow by itself
            while await service.read_metric(REJECTED) == before:
                await service.model.models.poll()
                await asyncio.sleep(0.01)
        for _ in range(3):
            await service.model.models.poll()
        assert await service.read_metric(REJECTED) == before + 1
        told = (await service.http.get("/models")).json()
        assert (told["active"], told["wanted"]) == (first, second)
        assert (await service.http.get("/readyz")).status_code == 200


async def test_a_wanted_version_that_is_not_there_moves_nobody(tmp_path: Path, service_with: ServiceWith) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder) as service:
        shutil.rmtree(folder / second)
        ModelRepository(folder).set_target_version(second)
        await service.model.models.poll()
        assert await serving(service) == first
