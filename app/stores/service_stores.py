"""The stores of the service, each opened as its settings say and closed when the service ends."""

from contextlib import AsyncExitStack

from app.settings import Settings, get_plain_value
from app.stores.history import HistoryStore
from app.stores.live_items import LiveItemStore
from app.stores.log_streams import LogStreams
from app.stores.placements import PlacementStore
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.durability import check_durability
from app.stores.redis.pipelines import PipelineLimits
from app.stores.redis.supervisor import run_embedded_redis
from app.stores.user_lists import UserLists
from app.telemetry.circuits import CircuitReport
from app.telemetry.metrics import StoreMetrics


async def open_history_store(settings: Settings, stack: AsyncExitStack) -> HistoryStore:
    url = get_plain_value(settings.redis_url)
    if url is None:  # `nextup serve` starts one Redis for all workers and sets the URL
        url = stack.enter_context(run_embedded_redis(settings.data_dir, settings.durability, stall_s=settings.stall_s))
    timeout_s = settings.redis_timeout_ms / 1000
    client = await open_redis(url, max_connections=settings.redis_pool, timeout_s=timeout_s, must_answer=False)
    stack.push_async_callback(close_redis, client)
    wait_fsync = await check_durability(client, settings.durability, must_answer=False)
    limits = PipelineLimits(
        read_s=min(timeout_s, settings.store_deadline_share * settings.request_deadline_ms / 1000),
        send_s=2 * timeout_s,  # a write may connect first, or wait for the disk and for replicas
        on_circuit_change=CircuitReport(
            "store", "recommendations do without it and events are answered 503 until a probe succeeds"
        ),
    )
    store = HistoryStore.from_settings(
        client, settings, wait_s=timeout_s, wait_fsync=wait_fsync, limits=limits, observer=StoreMetrics()
    )
    stack.push_async_callback(store.close)
    return store


def open_live_item_store(store: HistoryStore, settings: Settings, stack: AsyncExitStack) -> LiveItemStore:
    live_store = LiveItemStore(
        store.client, wait_s=settings.redis_timeout_ms / 1000, max_items=settings.catalogue_max_items
    )
    stack.push_async_callback(live_store.close)
    return live_store


def open_placement_store(store: HistoryStore, settings: Settings, stack: AsyncExitStack) -> PlacementStore:
    placements = PlacementStore(store.client, wait_s=settings.redis_timeout_ms / 1000)
    stack.push_async_callback(placements.close)
    return placements


def open_user_lists(store: HistoryStore, streams: LogStreams, settings: Settings, stack: AsyncExitStack) -> UserLists:
    lists = UserLists(store.client, streams, wait_s=settings.redis_timeout_ms / 1000, observer=StoreMetrics())
    stack.push_async_callback(lists.close)
    return lists
