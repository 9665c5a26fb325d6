"""A model in this process: loaded, warm, asked through an engine, and following the version that is wanted.

Workers that have the model inside use it, and the model's own process does. It loads torch; nothing else that a
worker imports does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from app.inference.local_engine import InferenceEngine
from app.inference.servable import open_servable
from app.model_repository.repository import ModelRepository
from app.model_server.manager import ModelManager
from app.model_server.remote_manager import resolve_target_folder
from app.runtime.machine import count_cores
from app.settings import Settings
from app.telemetry.request_context import Tracing


@asynccontextmanager
async def open_local_model(
    settings: Settings, tracing: Tracing | None = None
) -> AsyncIterator[tuple[InferenceEngine, ModelManager]]:
    """ArtifactRejected if what is wanted may not serve. The end finishes what is queued, within `drain_s`."""
    versions = ModelRepository(settings.artifact)
    load = partial(
        open_servable,
        device=settings.device,
        threads=settings.torch_threads or _threads(settings),
        max_batch=settings.max_batch,
        native=settings.native,
    )
    async with AsyncExitStack() as opened:
        engine = InferenceEngine(  # without a name for the servable here, which would outlive its turn
            await asyncio.to_thread(load, resolve_target_folder(versions)),
            max_batch=settings.max_batch,
            queue_limit=settings.queue_limit,
            tracing=tracing,
        )
        opened.push_async_callback(engine.close, settings.drain_s)
        models = ModelManager(versions, engine, load)
        await opened.enter_async_context(models.run())
        yield engine, models


def _threads(settings: Settings) -> int:
    """Workers share the cores; a model's process has those that its workers leave."""
    alone = settings.model_process == "dedicated"
    return max(1, count_cores() - settings.worker_count if alone else count_cores() // settings.worker_count)
