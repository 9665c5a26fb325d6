"""Fixtures of the recommendation tests: a history store, and the service with the model in either placement."""

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
