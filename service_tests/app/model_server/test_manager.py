"""Reconciliation: workers converge to the target version, and a rejected target leaves the old version serving."""

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


async def get_serving_version(service: Service) -> str:
    version: str = (await service.recommend(history=["i1"]))["model_version"]
    return version


async def test_worker_converges_to_a_target_set_by_another_process(tmp_path: Path, service_with: ServiceWith) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder) as service:
        assert await get_serving_version(service) == first
        ModelRepository(folder).set_target_version(second)
        async with asyncio.timeout(20):
            while await get_serving_version(service) != second:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.05)


async def test_target_set_during_startup_is_reconciled(tmp_path: Path, service_with: ServiceWith) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder) as service:
        manager = service.model.manager
        ModelRepository(folder).set_target_version(second)
        await manager.poll()
        assert await get_serving_version(service) == second
        ModelRepository(folder).set_target_version(first)
        await manager.poll()
        assert await get_serving_version(service) == first


async def test_corrupt_target_is_rejected_once_and_the_old_version_keeps_serving(
    tmp_path: Path, service_with: ServiceWith
) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    corrupt_byte(folder / second)
    async with service_with(artifact=folder) as service:
        rejected_before = await service.read_metric(REJECTED)
        ModelRepository(folder).set_target_version(second)
        async with asyncio.timeout(10):  # the service's own poll may have started the reconciliation
            while await service.read_metric(REJECTED) == rejected_before:
                await service.model.manager.poll()
                await asyncio.sleep(0.01)
        for _ in range(3):
            await service.model.manager.poll()
        assert await service.read_metric(REJECTED) == rejected_before + 1
        models = (await service.http.get("/models")).json()
        assert (models["active"], models["target_version"]) == (first, second)
        assert (await service.http.get("/readyz")).status_code == 200


async def test_missing_target_leaves_the_old_version_serving(tmp_path: Path, service_with: ServiceWith) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    async with service_with(artifact=folder) as service:
        shutil.rmtree(folder / second)
        ModelRepository(folder).set_target_version(second)
        await service.model.manager.poll()
        assert await get_serving_version(service) == first
