"""Lifespan of the application: the services, built from the resources that it opens and closes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypedDict

from fastapi import FastAPI

from app.api_keys import ApiKeys
from app.events.service import EventService
from app.experiments.service import ExperimentService
from app.health.monitor import HealthMonitor
from app.history_types import HistoryTypes
from app.http.connections import ConnectionGuard
from app.http.rate_limits import RateLimits
from app.inference import AnswerCache, Engine
from app.items.search import ItemSearch
from app.items.service import ItemService
from app.live_catalogue.details import ItemDetails
from app.live_catalogue.titles import LiveTitleReader
from app.model_repository.repository import ModelRepository
from app.model_server.activation import ModelActivator
from app.overview.service import OverviewService
from app.placements.service import PlacementService
from app.recommend.assembly import build_recommend_service
from app.recommend.service import RecommendService
from app.recommend.similar import SimilarService
from app.resources import Resources, open_resources
from app.rules.reader import RuleReader
from app.rules.request_filter import FilterReader
from app.runtime.erasures import announce_erasure
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.rate_limits import SharedBuckets
from app.telemetry.request_context import Tracing
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
            resources = await open_resources(settings, keys, stack)
            yield _build_services(settings, resources)
            resources.health_monitor.draining = True

    return lifespan


def _build_services(settings: Settings, opened: Resources) -> AppState:
    store, engine, live_store = opened.store, opened.engine, opened.live_store
    cache = AnswerCache(max_bytes=settings.answer_cache_mb * 1_000_000, lifetime_s=settings.answer_cache_s)
    details, filters = ItemDetails(live_store, opened.catalogue.items), FilterReader(engine)
    rules = RuleReader(filters, max_minutes=settings.impression_minutes)
    return AppState(
        settings=settings,
        tracing=opened.tracing,
        engine=engine,
        recommend=build_recommend_service(
            store,
            engine,
            opened.model,
            cache,
            details,
            rules,
            opened.placements,
            opened.experiments,
            opened.impressions,
            settings,
            opened.signing_keys,
        ),
        similar=SimilarService(
            opened.model, details, filters, max_k=settings.max_k, store_share=settings.store_deadline_share
        ),
        events=EventService(
            store,
            engine,
            HistoryTypes(settings.history_types),
            cache,
            opened.feedback,
            live_store,
            opened.impressions,
        ),
        users=UserService(
            store, opened.streams, cache, opened.lists, on_erased=partial(announce_erasure, settings.data_dir)
        ),
        items=ItemService(live_store, opened.catalogue, engine),
        item_search=ItemSearch(engine, details, LiveTitleReader(live_store, opened.catalogue.items)),
        placements=PlacementService(opened.placement_store, opened.placements, rules, max_k=settings.max_k),
        experiments=ExperimentService(
            opened.experiments, engine, opened.repository, opened.activator, opened.placement_store, opened.placements
        ),
        repository=opened.repository,
        activator=opened.activator,
        health_monitor=opened.health_monitor,
        connections=opened.connections,
        rate_limits=_build_rate_limits(store, settings),
        overview=OverviewService(engine, opened.activity, lambda: opened.health_monitor.usage),
    )


def _build_rate_limits(store: HistoryStore, settings: Settings) -> RateLimits:
    timeout_s = (
        min(settings.redis_timeout_ms, settings.request_deadline_ms) / 4000
    )  # a limit must not use up a deadline
    return RateLimits(SharedBuckets(store.client, wait_s=timeout_s), timeout_s=timeout_s)
