"""The store under test on one server, on a cluster and behind Sentinel, with a low limit of events.

Every test that uses `redis_url`, or a fixture that depends on it, runs on all three. The limit is low so that histories
are trimmed.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from app.stores.history import HistoryStore
from app.stores.redis.client import RedisClient
from app.stores.redis.embedded import EmbeddedRedis
from service_tests.support.redis_cluster import RedisCluster, run_redis_cluster
from service_tests.support.redis_sentinel import RedisSentinel, run_redis_sentinel


@pytest.fixture(scope="session")
def healthy_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster that no test may damage."""
    with run_redis_cluster(tmp_path_factory.mktemp("cluster"), node_timeout_ms=20_000) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def healthy_sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSentinel]:
    """A primary with replicas and Sentinels that no test may damage."""
    with run_redis_sentinel(tmp_path_factory.mktemp("sentinel"), down_after_ms=20_000) as sentinel:
        yield sentinel


@pytest.fixture(scope="session", params=["server", "cluster", "sentinel"])
def redis_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "server":
        with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
            yield server.url
    else:
        yield request.getfixturevalue(f"healthy_{request.param}").url


@pytest.fixture
async def store(redis_client: RedisClient) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(redis_client, max_events=5, wait_s=10.0)
    yield store
    await store.close()
