"""What lives as long as the service, opened and closed in order: Redis, the model, the services on top, the watch."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypedDict

from fastapi import FastAPI

from app.admin.service import ModelService
from app.errors import ArtifactRejected
from app.events.service import EventService
from app.health.watch import Watch
from app.inference import InferenceEngine, open_servable
from app.observability import StoreMetrics
from app.processes import cores
from app.recommend.service import RecommendService
from app.request_context import Tracing
from app.settings import Settings
from app.stores.embedded import EmbeddedRedis
from app.stores.history import HistoryStore
from app.stores.redis import close_redis, open_redis
from app.users.service import UserService
from app.versions import VersionFolder

FLUSH_S = 3.0
"""For the last spans, after the requests had their time to end; a collector that answers needs milliseconds."""


class State(TypedDict):
    """What `dependencies.state(name)` reaches."""

    settings: Settings
    tracing: Tracing | None
    engine: InferenceEngine
    recommend: RecommendService
    events: EventService
    users: UserService
    models: ModelService
    watch: Watch


def lifespan_of(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as opened:
            tracing = await _open_tracing(settings, opened)  # first, so that it ends last
            store = await _open_store(settings, opened)
            versions = VersionFolder(settings.artifact)
            load = partial(
                open_servable,
                device=settings.device,
                threads=settings.torch_threads or max(1, cores() // settings.workers),
                max_batch=settings.max_batch,
                native=settings.native,
            )
            engine = InferenceEngine(  # without a name for the servable here, which would outlive its turn
                await asyncio.to_thread(load, _wanted_folder(versions)),
                max_batch=settings.max_batch,
                queue_limit=settings.queue_limit,
                tracing=tracing,
            )
            opened.push_async_callback(engine.close, settings.drain_s)
            watch = Watch(store, engine)
            await opened.enter_async_context(watch.looking())
            models = ModelService(versions, engine, load)
            await opened.enter_async_context(models.following())
            opened.enter_context(_long_lived())
            yield State(
                settings=settings,
                tracing=tracing,
                engine=engine,
                recommend=RecommendService(store, engine, max_k=settings.max_k),
                events=EventService(store),
                users=UserService(store),
                models=models,
                watch=watch,
            )
            watch.draining = True

    return lifespan


def _wanted_folder(versions: VersionFolder) -> Path:
    try:
        return versions.wanted_folder()
    except ValueError as error:
        raise ArtifactRejected(str(error)) from error


@contextmanager
def _long_lived() -> Iterator[None]:
    """What exists now stays until the block ends, so the garbage collector need not look at it.

    It would: modules, model and catalogue again and again, and stop every request for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _open_tracing(settings: Settings, opened: AsyncExitStack) -> Tracing | None:
    if settings.otlp_endpoint is None:
        return None
    from app.tracing import tracing_to  # needs an extra

    flush_s = min(settings.drain_s, FLUSH_S)
    tracing = tracing_to(
        settings.otlp_endpoint, share=settings.trace_share, max_links=settings.max_batch, flush_s=flush_s
    )
    return await opened.enter_async_context(tracing)


async def _open_store(settings: Settings, opened: AsyncExitStack) -> HistoryStore:
    url = settings.redis_url
    if url is None:  # under `nextup serve` the parent has started it, because workers share one
        url = opened.enter_context(EmbeddedRedis.start(settings.data_dir, settings.durability)).url
    timeout_s = settings.redis_timeout_ms / 1000
    client = await open_redis(url, max_connections=settings.redis_pool, timeout_s=timeout_s)
    opened.push_async_callback(close_redis, client)
    store = HistoryStore.from_settings(client, settings, wait_s=timeout_s, observer=StoreMetrics())
    opened.push_async_callback(store.close)
    return store
