"""A store, a server for streams that tests may kill, and a Kafka cluster."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.events.service import EventService
from app.history_types import HistoryTypes
from app.stores.history import HistoryStore
from app.stores.redis.client import RedisClient
from service_tests.support.kafka_cluster import kafka
from service_tests.support.redis_processes import RedisProcess

__all__ = ["kafka"]


@pytest.fixture
async def store(redis_client: RedisClient) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(redis_client)
    yield store
    await store.close()


@pytest.fixture
def events(store: HistoryStore) -> EventService:
    return EventService(store, None, HistoryTypes())


@pytest.fixture
def stream_server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis of the source, other than that of the store."""
    server = RedisProcess(tmp_path / "source", {"appendonly": "yes", "appendfsync": "always", "save": ""})
    yield server
    server.stop()
