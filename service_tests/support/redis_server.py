"""A real, private redis-server for the test session, and clients of it.

Tests are isolated by unique user ids (`new_user`), never by clearing the database. Import the fixtures into a conftest.
"""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import pytest

from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


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
