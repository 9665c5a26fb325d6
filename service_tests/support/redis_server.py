"""A real, private redis-server for the test session, and clients of it.

Tests are isolated by unique user ids (`new_user`), never by clearing the database. The live catalogue, which all tests
of a session share, is cleared after each test of a service. Import the fixtures into a conftest.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from uuid import uuid4

import pytest

from app.errors import StoreUnavailable
from app.stores.keys import COOCCURRENCE_KEYS, EXPERIMENT_KEYS, LIVE_ITEM_KEYS, NEW_ITEMS_KEY, PLACEMENT_KEYS
from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


def clear_live_catalogue(url: str) -> None:
    """Remove live catalogue, experiments and placements, so that later tests have none; not if the server is gone."""

    async def clear() -> None:
        with suppress(StoreUnavailable):
            client = await open_redis(url, timeout_s=5.0)
            await client.delete(*LIVE_ITEM_KEYS)
            await client.delete(*COOCCURRENCE_KEYS, NEW_ITEMS_KEY)
            for key in [
                *EXPERIMENT_KEYS,
                *PLACEMENT_KEYS,
                *[key async for key in client.scan_iter("n:experiments:*:counts:*")],
            ]:
                await client.delete(key)
            await close_redis(client)

    asyncio.run(clear())


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[RedisClient]:
    client = await open_redis(redis_url, timeout_s=5.0)
    yield client
    await close_redis(client)


@pytest.fixture
def new_user() -> Callable[[], str]:
    """Return a function that creates unique user ids."""
    prefix, numbers = uuid4().hex, itertools.count()
    return lambda: f"{prefix}-{next(numbers)}"
