"""Access to the history store for commands that run outside the service.

A command may run alongside a service: it then uses the embedded Redis that the service runs.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.live_items import LiveItemStore
from app.stores.redis.client import StoreObserver
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.durability import check_durability
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.redis.supervisor import run_embedded_redis

TIMEOUT_S = 30.0
"""Longer than the service's: a command should wait for a busy Redis rather than fail half-way."""


@contextmanager
def redis_url(settings: Settings) -> Iterator[str]:
    """Yield the configured Redis URL, else that of a running service's embedded Redis, else of one started here."""
    if settings.redis_url is not None:
        yield settings.redis_url.get_secret_value()
    elif (running_url := EmbeddedRedis.find_running_url(settings.data_dir)) is not None:
        yield running_url
    else:
        with run_embedded_redis(settings.data_dir, settings.durability) as started_url:
            yield started_url


@asynccontextmanager
async def open_store(
    url: str,
    settings: Settings,
    *,
    timeout_s: float = TIMEOUT_S,
    stores_names: bool = True,
    observer: StoreObserver | None = None,
) -> AsyncIterator[HistoryStore]:
    """Open a client and a store on it, and close both at the end of the block."""
    client = await open_redis(url, max_connections=settings.redis_pool, timeout_s=timeout_s)
    try:
        wait_fsync = await check_durability(client, settings.durability)
        store = HistoryStore.from_settings(
            client, settings, wait_s=timeout_s, wait_fsync=wait_fsync, stores_names=stores_names, observer=observer
        )
        try:
            yield store
        finally:
            await store.close()
    finally:
        await close_redis(client)


@asynccontextmanager
async def open_live_items(url: str, settings: Settings) -> AsyncIterator[LiveItemStore]:
    """Open the live catalogue; StoreUnavailable if Redis does not answer."""
    client = await open_redis(url, max_connections=settings.redis_pool, timeout_s=TIMEOUT_S)
    store = LiveItemStore(client, wait_s=TIMEOUT_S, max_items=settings.catalogue_max_items)
    try:
        yield store
    finally:
        await store.close()
        await close_redis(client)


async def check_store(url: str, settings: Settings) -> None:
    """StoreUnavailable if Redis does not answer, so that a command finds out before its work begins."""
    async with open_store(url, settings):
        pass
