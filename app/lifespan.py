"""Resources of the application, opened and closed in order: store, model, services, health monitor."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypedDict

from fastapi import FastAPI

from app.api_keys import ApiKeys
from app.archive.background import run_archiving
from app.events.new_item_sources import NewItemAnnouncer
from app.events.service import EventService
from app.experiment_state.connection import run_follower
from app.experiment_state.follower import ExperimentFollower
from app.experiments.service import ExperimentService
from app.feedback.counter import FeedbackCounter
from app.feedback.impressions import ImpressionRecorder
from app.health.monitor import HealthMonitor
from app.history_types import HistoryTypes
from app.http.connections import ConnectionGuard
from app.http.key_rotation import follow_key_file
from app.http.rate_limits import RateLimits
from app.inference import AnswerCache, Engine
from app.inference.live.items import LiveItems
from app.inference.model_circuit import open_circuit
from app.inference.remote.engine import RemoteEngine
from app.items.search import ItemSearch
from app.items.service import ItemService
from app.live_catalogue.details import ItemDetails
from app.live_catalogue.follower import CatalogueFollower
from app.live_catalogue.titles import LiveTitleReader
from app.model_repository.private_copies import PrivateCopies, open_private_copies
from app.model_repository.repository import ModelRepository
from app.model_server.activation import ModelActivator, load_best_version
from app.overview.service import OverviewService
from app.placements.service import PlacementService
from app.recommend.assembly import build_recommend_service
from app.recommend.service import RecommendService
from app.recommend.similar import SimilarService
from app.rules.follower import PlacementFollower
from app.rules.reader import RuleReader
from app.rules.request_filter import FilterReader
from app.runtime.erasures import announce_erasure
from app.runtime.garbage import collect_garbage_rarely
from app.settings import Settings, get_plain_value
from app.signing_keys import load_signing_keys
from app.stores.history import HistoryStore
from app.stores.log_streams import LogStreams
from app.stores.rate_limits import SharedBuckets
from app.stores.service_stores import (
    open_history_store,
    open_live_item_store,
    open_placement_store,
    open_user_lists,
)
from app.telemetry.activity import record_activity
from app.telemetry.deferred_metrics import flush_periodically
from app.telemetry.metrics import StoreMetrics
from app.telemetry.request_context import Tracing
from app.telemetry.tracing import start_tracing_by_settings
from app.users.service import UserService


class AppState(TypedDict):
    """Lifespan state, which `get_state(name)` in `app/http/dependencies.py` reads."""

    settings: Settings
    tracing: Tracing | None
    engine: Engine
    recommend: RecommendService
    similar: SimilarService
    events: EventService
    users: UserService
    items: ItemService
    item_search: ItemSearch
    placements: PlacementService
    experiments: ExperimentService
    repository: ModelRepository
    activator: ModelActivator
    health_monitor: HealthMonitor
    connections: ConnectionGuard
    rate_limits: RateLimits
    overview: OverviewService


def build_lifespan(
    settings: Settings, keys: ApiKeys | None = None
) -> Callable[[FastAPI], AbstractAsyncContextManager[AppState]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(flush_periodically())  # this and tracing come first, so that they end last
            activity = await stack.enter_async_context(record_activity())
            tracing = await stack.enter_async_context(start_tracing_by_settings(settings))
            store = await open_history_store(settings, stack)
            streams = LogStreams(store.client, observer=StoreMetrics())
            lists = open_user_lists(store, streams, settings, stack)
            await stack.enter_async_context(run_archiving(store, streams, settings))
            live_store = open_live_item_store(store, settings, stack)
            follower = CatalogueFollower(live_store, LiveItems())
            await stack.enter_async_context(follower.run())
            experiments = await stack.enter_async_context(run_follower(store.client, settings))
            repository = ModelRepository(settings.artifact)
            engine, activator = await _open_model(settings, repository, stack, tracing, follower.items, experiments)
            store.use_catalogue(lambda: engine.servable.catalogue)
            await stack.enter_async_context(NewItemAnnouncer(engine, live_store.cooccurrences).run())
            cache = AnswerCache(max_bytes=settings.answer_cache_mb * 1_000_000, lifetime_s=settings.answer_cache_s)
            model = await stack.enter_async_context(open_circuit(engine, settings))
            details, filters = ItemDetails(live_store, follower.items), FilterReader(engine)
            rules = RuleReader(filters, max_minutes=settings.impression_minutes)
            placement_store = open_placement_store(store, settings, stack)
            placements = PlacementFollower(placement_store)
            await stack.enter_async_context(placements.run())
            health_monitor = HealthMonitor(store, engine, stall_s=settings.stall_s)
            await stack.enter_async_context(health_monitor.run())
            await stack.enter_async_context(follow_key_file(settings, keys))
            connections = ConnectionGuard(settings)
            await stack.enter_async_context(connections.run())
            signing_keys = load_signing_keys(get_plain_value(settings.signing_keys), settings.data_dir)
            feedback = FeedbackCounter.from_settings(store.client, settings, signing_keys, engine)
            impressions = ImpressionRecorder.from_settings(store.client, settings)
            if impressions is not None:
                stack.push_async_callback(impressions.close)
            await stack.enter_async_context(collect_garbage_rarely())
            yield AppState(
                settings=settings,
                tracing=tracing,
                engine=engine,
                recommend=build_recommend_service(
                    store,
                    engine,
                    model,
                    cache,
                    details,
                    rules,
                    placements,
                    experiments,
                    impressions,
                    settings,
                    signing_keys,
                ),
                similar=SimilarService(
                    model, details, filters, max_k=settings.max_k, store_share=settings.store_deadline_share
                ),
                events=EventService(
                    store, engine, HistoryTypes(settings.history_types), cache, feedback, live_store, impressions
                ),
                users=UserService(store, streams, cache, lists, on_erased=partial(announce_erasure, settings.data_dir)),
                items=ItemService(live_store, follower, engine),
                item_search=ItemSearch(engine, details, LiveTitleReader(live_store, follower.items)),
                placements=PlacementService(placement_store, placements, rules, max_k=settings.max_k),
                experiments=ExperimentService(experiments, engine, repository, activator, placement_store, placements),
                repository=repository,
                activator=activator,
                health_monitor=health_monitor,
                connections=connections,
                rate_limits=_build_rate_limits(store, settings),
                overview=OverviewService(engine, activity, lambda: health_monitor.usage),
            )
            health_monitor.draining = True

    return lifespan


async def _open_model(
    settings: Settings,
    repository: ModelRepository,
    stack: AsyncExitStack,
    tracing: Tracing | None,
    live: LiveItems,
    experiments: ExperimentFollower,
) -> tuple[Engine, ModelActivator]:
    """Load the model in this process, or connect to the dedicated model process."""
    if settings.model_process != "dedicated":
        # Imports torch, which a worker without a model must not load.
        from app.model_server.local_model import open_local_model

        return await stack.enter_async_context(open_local_model(settings, tracing, live, experiments))
    copies = open_private_copies(settings)
    stack.callback(copies.close)
    engine = await asyncio.to_thread(_open_remote_engine, settings, repository, copies, live)
    await stack.enter_async_context(engine.connect(settings.drain_s))
    return engine, engine


def _open_remote_engine(
    settings: Settings, repository: ModelRepository, copies: PrivateCopies, live: LiveItems
) -> RemoteEngine:
    """Open the catalogue of the target version, or of an older one if that cannot be read."""
    max_pending = settings.queue_limit + settings.max_batch
    return load_best_version(
        repository,
        lambda folder: RemoteEngine(
            settings.model_socket_path,
            folder,
            max_pending=max_pending,
            activation_timeout_s=settings.activation_timeout_s,
            copies=copies,
            live=live,
        ),
    )


def _build_rate_limits(store: HistoryStore, settings: Settings) -> RateLimits:
    timeout_s = (
        min(settings.redis_timeout_ms, settings.request_deadline_ms) / 4000
    )  # a limit must not use up a deadline
    return RateLimits(SharedBuckets(store.client, wait_s=timeout_s), timeout_s=timeout_s)
