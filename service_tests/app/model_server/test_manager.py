"""Reconciliation: workers converge to the target version, and a rejected target leaves the old version serving."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from app.errors import ActivationInProgress, ArtifactRejected
from app.inference.servable import Servable, open_servable
from app.model_repository.repository import ModelRepository
from app.model_server.manager import ModelManager
from service_tests.support.service import Service
from service_tests.support.versions import WEIGHTS_FILE, corrupt_byte, publish_versions, write_tiny_artifacts

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
        async with asyncio.timeout(60):
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
        async with asyncio.timeout(60):  # the service's own poll may have started the reconciliation
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


def make_manager(
    service: Service, folder: Path, load: Callable[[Path], Servable], *, timeout_s: float = 60.0
) -> ModelManager:
    """Manager of the service's engine with short pauses and its own way to load."""
    return ModelManager(ModelRepository(folder), service.model.engine, load, timeout_s=timeout_s, min_retry_s=0.05)


def load_tiny(folder: Path) -> Servable:
    return open_servable(folder, device="cpu", threads=1, max_batch=4)


async def test_rejected_target_is_tried_again_because_the_cause_may_pass(
    tmp_path: Path, service_with: ServiceWith
) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    weights = (folder / second / WEIGHTS_FILE).read_bytes()
    async with service_with(artifact=folder) as service:
        manager = make_manager(service, folder, load_tiny)
        await manager.poll()
        (folder / second / WEIGHTS_FILE).unlink()  # as on a network folder that is not complete yet
        ModelRepository(folder).set_target_version(second)
        await manager.poll()
        assert await get_serving_version(service) == first
        (folder / second / WEIGHTS_FILE).write_bytes(weights)
        async with asyncio.timeout(60):
            while await get_serving_version(service) != second:
                await manager.poll()
                await asyncio.sleep(0.02)


async def test_load_that_takes_too_long_is_rejected_and_no_other_begins_meanwhile(
    tmp_path: Path, service_with: ServiceWith
) -> None:
    folder = tmp_path / "models"
    first, second = publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    is_released = threading.Event()

    def load_slowly(folder: Path) -> Servable:
        is_released.wait(30)
        return load_tiny(folder)

    async with service_with(artifact=folder) as service:
        manager = make_manager(service, folder, load_slowly, timeout_s=0.2)
        with pytest.raises(ArtifactRejected, match=r"not loaded within 0.2 s \(NEXTUP_ACTIVATION_TIMEOUT_S\)"):
            await manager.activate(second)
        assert ModelRepository(folder).get_target_version() == first
        with pytest.raises(ActivationInProgress):
            await manager.activate(second)
        is_released.set()
        async with asyncio.timeout(60):
            while manager.is_loading:  # noqa: ASYNC110 - a thread sets no event
                await asyncio.sleep(0.02)
        assert await get_serving_version(service) == first
