"""What lives as long as the service, opened and closed in order: Redis, the model, the services on top, the health_monitor."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI

from app.events.service import EventService
from app.health.monitor import HealthMonitor
from app.inference import Engine
from app.inference.remote.engine import RemoteEngine
from app.model_repository.repository import ModelRepository
from app.model_server.remote_manager import Models, RemoteModelManager, resolve_target_folder
from app.recommend.service import RecommendService
from app.runtime.memory import freeze_heap
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis
from app.telemetry.deferred_metrics import flush_periodically
from app.telemetry.metrics import StoreMetrics
from app.telemetry.request_context import Tracing
from app.telemetry.tracing.setup import start_tracing
from app.users.service import UserService


class AppState(TypedDict):
    """What `dependencies.state(name)` reaches."""

    settings: Settings
    tracing: Tracing | None
    engine: Engine
    recommend: RecommendService
    events: EventService
    users: UserService
    models: Models
    health_monitor: HealthMonitor


def build_lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[AppState]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(flush_periodically())  # these two first, so that they end last
            tracing = await opened.enter_async_context(
                start_tracing(
                    settings.otlp_endpoint,
                    sample_ratio=settings.trace_sample_ratio,
                    max_links=settings.max_batch,
                    drain_s=settings.drain_s,
                )
            )
            store = await _open_store(settings, opened)
            engine, models = await _open_model(settings, opened, tracing)
            health_monitor = HealthMonitor(store, engine)
            await opened.enter_async_context(health_monitor.run())
            opened.enter_context(freeze_heap())
            yield AppState(
                settings=settings,
                tracing=tracing,
                engine=engine,
                recommend=RecommendService(store, engine, max_k=settings.max_k),
                events=EventService(store),
                users=UserService(store),
                models=models,
                health_monitor=health_monitor,
            )
            health_monitor.draining = True

    return lifespan


async def _open_model(settings: Settings, opened: AsyncExitStack, tracing: Tracing | None) -> tuple[Engine, Models]:
    """The model in this process, or the way to the process that has it."""
    if settings.model_process != "dedicated":
        from app.model_server.local_model import open_local_model  # torch, which a worker without a model never loads

        return await opened.enter_async_context(open_local_model(settings, tracing))
    versions = ModelRepository(settings.artifact)
    max_pending = settings.queue_limit + settings.max_batch
    engine = RemoteEngine(settings.model_socket_path, resolve_target_folder(versions), max_pending=max_pending)
    await opened.enter_async_context(engine.connect(settings.drain_s))
    return engine, RemoteModelManager(versions, engine)


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
