"""Model in this process: loaded, warmed up, queried through an engine, and reconciled with the target version.

Used by workers with the model in process and by the dedicated model process. The only import of an HTTP worker that
loads torch.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from app.inference.local_engine import InferenceEngine
from app.inference.servable import open_servable
from app.model_repository.repository import ModelRepository
from app.model_server.activation import resolve_target_folder
from app.model_server.manager import ModelManager
from app.runtime.machine import count_cores
from app.settings import Settings
from app.telemetry.request_context import Tracing


@asynccontextmanager
async def open_local_model(
    settings: Settings, tracing: Tracing | None = None
) -> AsyncIterator[tuple[InferenceEngine, ModelManager]]:
    """Serve the target version until the block ends, then drain the queue within `drain_s`.

    ArtifactRejected if the target version cannot serve.
    """
    repository = ModelRepository(settings.artifact)
    load = partial(
        open_servable,
        device=settings.device,
        threads=settings.torch_threads or _count_threads(settings),
        max_batch=settings.max_batch,
        native=settings.native,
        measure_threads=not settings.torch_threads,
    )
    async with AsyncExitStack() as stack:
        engine = InferenceEngine(  # the servable gets no local name, which would keep it alive after a swap
            await asyncio.to_thread(load, resolve_target_folder(repository)),
            max_batch=settings.max_batch,
            queue_limit=settings.queue_limit,
            tracing=tracing,
        )
        stack.push_async_callback(engine.close, settings.drain_s)
        manager = ModelManager(repository, engine, load)
        await stack.enter_async_context(manager.run())
        yield engine, manager


def _count_threads(settings: Settings) -> int:
    """Workers share the cores; a dedicated model process gets the cores that its workers leave."""
    if settings.model_process == "dedicated":
        return max(1, count_cores() - settings.worker_count)
    return max(1, count_cores() // settings.worker_count)
