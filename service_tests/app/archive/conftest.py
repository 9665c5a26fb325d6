"""An empty Redis and an empty folder for each test of the archive, because a server has one event log."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.archive.local_storage import LocalStorage
from app.stores.redis.embedded import EmbeddedRedis


@pytest.fixture(scope="session")
def log_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def redis_url(log_server_url: str) -> str:
    clear(log_server_url)
    return log_server_url


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "events")


def clear(url: str) -> None:
    with Redis.from_url(url) as client:
        client.flushall()
