"""Model in this process: loaded, warmed up, queried through an engine, and reconciled with the target version.

Used by workers with the model in process and by the dedicated model process. The only import of an HTTP worker that
loads torch.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.experiment_state.follower import ExperimentFollower
from app.inference.live.items import LiveItems
from app.inference.local_engine import InferenceEngine
from app.model_repository.private_copies import open_private_copies
from app.model_repository.repository import ModelRepository
from app.model_server.activation import load_best_version
from app.model_server.loading import VersionLoader, read_limits
from app.model_server.manager import ModelManager
from app.model_server.residents import ResidentVersions
from app.model_server.shadow import ShadowRunner
from app.settings import Settings
from app.telemetry.request_context import Tracing


@asynccontextmanager
async def open_local_model(
    settings: Settings,
    tracing: Tracing | None = None,
    live: LiveItems | None = None,
    experiments: ExperimentFollower | None = None,
) -> AsyncIterator[tuple[InferenceEngine, ModelManager]]:
    """Serve the target version until the block ends, then drain the queue within `drain_s`.

    With `experiments`, also the versions that they ask for.

    ArtifactRejected if neither the target version nor an older one can serve.
    """
    repository = ModelRepository(settings.artifact)
    copies = open_private_copies(settings)
    load = VersionLoader(settings, copies, live)
    async with AsyncExitStack() as stack:
        stack.callback(copies.close)
        engine = InferenceEngine(  # the servable gets no local name, which would keep it alive after a swap
            await asyncio.to_thread(load_best_version, repository, load),
            max_batch=settings.max_batch,
            queue_limit=settings.queue_limit,
            tracing=tracing,
            num_recent_queries=settings.shadow_requests,
        )
        stack.push_async_callback(engine.close, settings.drain_s)
        await stack.enter_async_context(engine.probe_periodically())
        manager = ModelManager(
            repository,
            engine,
            load,
            timeout_s=settings.activation_timeout_s,
            limits=read_limits(settings),
            keeps_previous=settings.keep_previous,
            data_dir=settings.data_dir,
        )
        await stack.enter_async_context(manager.run())
        if experiments is not None:
            await stack.enter_async_context(ResidentVersions(manager, engine, experiments).run())
            await stack.enter_async_context(ShadowRunner(engine, experiments).run())
        await stack.enter_async_context(load.new_items.run())
        yield engine, manager
