"""Resources that the services share, opened in order and closed in reverse: store, live catalogue, model, HTTP edge."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from app.api_keys import ApiKeys
from app.archive.background import run_archiving
from app.events.new_item_sources import NewItemAnnouncer
from app.experiment_state.connection import run_follower
from app.experiment_state.follower import ExperimentFollower
from app.feedback.counter import FeedbackCounter
from app.feedback.impressions import ImpressionRecorder
from app.health.monitor import HealthMonitor
from app.http.connections import ConnectionGuard
from app.http.key_rotation import follow_key_file
from app.inference import Engine
from app.inference.live.items import LiveItems
from app.inference.model_circuit import ModelCircuit, open_circuit
from app.inference.remote.engine import RemoteEngine
from app.live_catalogue.follower import CatalogueFollower
from app.model_repository.private_copies import PrivateCopies, open_private_copies
from app.model_repository.repository import ModelRepository
from app.model_server.activation import ModelActivator, load_best_version
from app.rules.follower import PlacementFollower
from app.runtime.garbage import collect_garbage_rarely
from app.settings import Settings, get_plain_value
from app.signing_keys import load_signing_keys
from app.stores.history import HistoryStore
from app.stores.live_items import LiveItemStore
from app.stores.log_streams import LogStreams
from app.stores.placements import PlacementStore
from app.stores.service_stores import (
    open_history_store,
    open_live_item_store,
    open_placement_store,
    open_user_lists,
)
from app.stores.user_lists import UserLists
from app.telemetry.activity import ActivityRecorder, record_activity
from app.telemetry.deferred_metrics import flush_periodically
from app.telemetry.metrics import StoreMetrics
from app.telemetry.request_context import Tracing
from app.telemetry.tracing import start_tracing_by_settings


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that runs as long as the application; `model` is the engine behind its circuit breaker."""

    activity: ActivityRecorder
    tracing: Tracing | None
    store: HistoryStore
    streams: LogStreams
    lists: UserLists
    live_store: LiveItemStore
    catalogue: CatalogueFollower
    experiments: ExperimentFollower
    repository: ModelRepository
    engine: Engine
    activator: ModelActivator
    model: ModelCircuit
    placement_store: PlacementStore
    placements: PlacementFollower
    health_monitor: HealthMonitor
    connections: ConnectionGuard
    signing_keys: Sequence[bytes]
    feedback: FeedbackCounter
    impressions: ImpressionRecorder | None


async def open_resources(settings: Settings, keys: ApiKeys | None, stack: AsyncExitStack) -> Resources:
    """Open all resources; `stack` closes them, the last one first."""
    await stack.enter_async_context(flush_periodically())  # this and tracing come first, so that they end last
    activity = await stack.enter_async_context(record_activity())
    tracing = await stack.enter_async_context(start_tracing_by_settings(settings))
    store = await open_history_store(settings, stack)
    streams = LogStreams(store.client, observer=StoreMetrics())
    lists = open_user_lists(store, streams, settings, stack)
    await stack.enter_async_context(run_archiving(store, streams, settings))
    live_store = open_live_item_store(store, settings, stack)
    catalogue = CatalogueFollower(live_store, LiveItems())
    await stack.enter_async_context(catalogue.run())
    experiments = await stack.enter_async_context(run_follower(store.client, settings))
    repository = ModelRepository(settings.artifact)
    engine, activator = await _open_model(settings, repository, stack, tracing, catalogue.items, experiments)
    store.use_catalogue(lambda: engine.servable.catalogue)
    await stack.enter_async_context(NewItemAnnouncer(engine, live_store.cooccurrences).run())
    model = await stack.enter_async_context(open_circuit(engine, settings))
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
    return Resources(
        activity=activity,
        tracing=tracing,
        store=store,
        streams=streams,
        lists=lists,
        live_store=live_store,
        catalogue=catalogue,
        experiments=experiments,
        repository=repository,
        engine=engine,
        activator=activator,
        model=model,
        placement_store=placement_store,
        placements=placements,
        health_monitor=health_monitor,
        connections=connections,
        signing_keys=signing_keys,
        feedback=feedback,
        impressions=impressions,
    )


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
