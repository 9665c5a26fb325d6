"""The store under test: small histories, so that trimming is near."""

from collections.abc import AsyncIterator

import pytest

from app.stores.client import RedisClient
from app.stores.history import HistoryStore


@pytest.fixture
async def store(redis_client: RedisClient) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(redis_client, max_events=5, wait_s=10.0)
    yield store
    await store.close()
