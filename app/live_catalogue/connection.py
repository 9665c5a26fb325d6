"""The live catalogue in a process that uses Redis for nothing else: the dedicated model process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.inference.live.items import LiveItems
from app.live_catalogue.follower import CatalogueFollower
from app.settings import Settings, get_plain_value
from app.stores.live_items import LiveItemStore
from app.stores.redis.connect import close_redis, open_redis

MAX_CONNECTIONS = 2


@asynccontextmanager
async def follow_catalogue(settings: Settings) -> AsyncIterator[LiveItems]:
    """Follow the live catalogue until the block ends; empty without the URL of a Redis."""
    items, url = LiveItems(), get_plain_value(settings.redis_url)
    if url is None:
        yield items
        return
    timeout_s = settings.redis_timeout_ms / 1000
    client = await open_redis(url, max_connections=MAX_CONNECTIONS, timeout_s=timeout_s, must_answer=False)
    store = LiveItemStore(client, wait_s=timeout_s, max_items=settings.catalogue_max_items)
    try:
        async with CatalogueFollower(store, items).run():
            yield items
    finally:
        await store.close()
        await close_redis(client)
