"""Fixtures of all tests: one torch thread, a real Redis, and a service in this process.

One thread, because on busy machines that run tests in parallel, torch threads that wait for each other cost thirty
times the work.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Literal

import hypothesis
import pytest
import torch
from pydantic import SecretStr

from app.settings import Settings
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.process_guard import pytest_collection_modifyitems, pytest_runtest_protocol
from service_tests.support.redis_server import clear_live_catalogue, new_user, redis_client, redis_url
from service_tests.support.service import Service, run_service

__all__ = ["new_user", "pytest_collection_modifyitems", "pytest_runtest_protocol", "redis_client", "redis_url"]

torch.set_num_threads(1)
# How long an example takes is no property of the code on a busy machine; timings are in the benchmarks.
hypothesis.settings.register_profile("nextup", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("nextup")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def tiny_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("artifact"))


@pytest.fixture
def model_process() -> str:
    """Placement of the model; tests that hold for both placements import `support.model_placements.model_process`."""
    return "in_process"


@pytest.fixture
def settings(
    tiny_artifact: Path, redis_url: str, tmp_path: Path, model_process: Literal["in_process", "dedicated"]
) -> Iterator[Settings]:
    """Settings of a service on the Redis of the session, which has no live catalogue afterwards."""
    yield Settings(
        artifact=tiny_artifact,
        data_dir=tmp_path,
        redis_url=SecretStr(redis_url),
        redis_timeout_ms=5000,
        request_deadline_ms=10_000,
        torch_threads=1,
        model_process=model_process,
        max_batch=8,
        max_body_bytes=200_000,
        archive="off",
    )
    clear_live_catalogue(redis_url)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with run_service(settings) as running:
        yield running


@pytest.fixture
def service_with(settings: Settings) -> Callable[..., AbstractAsyncContextManager[Service]]:
    """Start a service with changed settings."""

    @asynccontextmanager
    async def start_service(**changes: object) -> AsyncIterator[Service]:
        async with run_service(settings.with_changes(**changes)) as running:
            yield running

    return start_service
