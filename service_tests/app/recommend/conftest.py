"""A store of histories for the parts of a recommendation that need nothing else."""

from collections.abc import AsyncIterator

import pytest

from app.stores.client import RedisClient
from app.stores.history import HistoryStore


@pytest.fixture
async def store(redis_client: RedisClient) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(redis_client)
    yield store
    await store.close()
