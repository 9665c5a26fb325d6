"""A store of histories for the parts that need nothing else; what is tested of the rest holds wherever the model is."""

from collections.abc import AsyncIterator

import pytest

from app.stores.history import HistoryStore
from app.stores.redis.client import RedisClient
from service_tests.support.model_placements import model_process as model_process

__all__ = ["model_process"]


@pytest.fixture
async def store(redis_client: RedisClient) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(redis_client)
    yield store
    await store.close()
