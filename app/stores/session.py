"""The store of histories for commands that are not the service.

They may run beside it: the embedded Redis of a running service is joined, not fought for.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis

PATIENCE_S = 30.0
"""A command would rather wait for a busy Redis than give up half-way."""


@contextmanager
def redis_url(settings: Settings) -> Iterator[str]:
    """Where Redis is: as set, else the embedded one of a running service, else one started for this command."""
    if settings.redis_url is not None:
        yield settings.redis_url
    elif (running := EmbeddedRedis.find_running_url(settings.data_dir)) is not None:
        yield running
    else:
        with EmbeddedRedis.start(settings.data_dir, settings.durability) as server:
            yield server.url


@asynccontextmanager
async def open_store(url: str, settings: Settings) -> AsyncIterator[HistoryStore]:
    client = await open_redis(url, max_connections=settings.redis_pool, timeout_s=PATIENCE_S)
    store = HistoryStore.from_settings(client, settings, wait_s=PATIENCE_S)
    try:
        yield store
    finally:
        await store.close()
        await close_redis(client)
