"""Resources of the application, opened and closed in order: store, model, services, health monitor."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI

from app.events.history_types import HistoryTypes
from app.events.service import EventService
from app.health.monitor import HealthMonitor
from app.inference import Engine
from app.inference.remote.engine import RemoteEngine
from app.model_repository.repository import ModelRepository
from app.model_server.activation import ModelActivator, resolve_target_folder
from app.recommend.service import RecommendService
from app.runtime.memory import freeze_heap
from app.settings import Settings, get_plain_value
from app.stores.history import HistoryStore
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis
from app.telemetry.deferred_metrics import flush_periodically
from app.telemetry.metrics import StoreMetrics
from app.telemetry.request_context import Tracing
from app.telemetry.tracing import start_tracing
from app.users.service import UserService


class AppState(TypedDict):
    """Lifespan state, which `get_state(name)` in `app/http/dependencies.py` reads."""

    settings: Settings
    tracing: Tracing | None
    engine: Engine
    recommend: RecommendService
    events: EventService
    users: UserService
    repository: ModelRepository
    activator: ModelActivator
    health_monitor: HealthMonitor


def build_lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[AppState]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(flush_periodically())  # this and tracing come first, so that they end last
            tracing = await stack.enter_async_context(
                start_tracing(
                    get_plain_value(settings.otlp_endpoint),
                    sample_ratio=settings.trace_sample_ratio,
                    max_links=settings.max_batch,
                    drain_s=settings.drain_s,
                )
            )
            store = await _open_store(settings, stack)
            repository = ModelRepository(settings.artifact)
            engine, activator = await _open_model(settings, repository, stack, tracing)
            health_monitor = HealthMonitor(store, engine)
            await stack.enter_async_context(health_monitor.run())
            stack.enter_context(freeze_heap())
            yield AppState(
                settings=settings,
                tracing=tracing,
                engine=engine,
                recommend=RecommendService(store, engine, max_k=settings.max_k),
                events=EventService(store, engine, HistoryTypes(settings.history_types)),
                users=UserService(store),
                repository=repository,
                activator=activator,
                health_monitor=health_monitor,
            )
            health_monitor.draining = True

    return lifespan


async def _open_model(
    settings: Settings, repository: ModelRepository, stack: AsyncExitStack, tracing: Tracing | None
) -> tuple[Engine, ModelActivator]:
    """Load the model in this process, or connect to the dedicated model process."""
    if settings.model_process != "dedicated":
        # Imports torch, which a worker without a model must not load.
        from app.model_server.local_model import open_local_model

        return await stack.enter_async_context(open_local_model(settings, tracing))
    max_pending = settings.queue_limit + settings.max_batch
    engine = RemoteEngine(settings.model_socket_path, resolve_target_folder(repository), max_pending=max_pending)
    await stack.enter_async_context(engine.connect(settings.drain_s))
    return engine, engine


async def _open_store(settings: Settings, stack: AsyncExitStack) -> HistoryStore:
    url = get_plain_value(settings.redis_url)
    if url is None:  # `nextup serve` starts one Redis for all workers and sets the URL
        url = stack.enter_context(EmbeddedRedis.start(settings.data_dir, settings.durability)).url
    timeout_s = settings.redis_timeout_ms / 1000
    client = await open_redis(url, max_connections=settings.redis_pool, timeout_s=timeout_s)
    stack.push_async_callback(close_redis, client)
    store = HistoryStore.from_settings(client, settings, wait_s=timeout_s, observer=StoreMetrics())
    stack.push_async_callback(store.close)
    return store
