"""Fixtures of the store tests: a real Redis, a client, a store and fresh user ids."""

from collections.abc import AsyncIterator

import pytest

from app.stores.client import RedisClient
from app.stores.history import HistoryStore
from service_tests.redis_server import new_user, redis_client, redis_url

__all__ = ["new_user", "redis_client", "redis_url"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(redis_client: RedisClient) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(redis_client, max_events=5, wait_s=10.0)
    yield store
    await store.close()
