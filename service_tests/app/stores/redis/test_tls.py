"""Redis over TLS: a server, a cluster and Sentinels, and what an error says to do."""

from collections.abc import Iterator

import pytest
from redis.asyncio import SSLConnection

from app.errors import StoreUnavailable
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.redis.connect import close_redis, open_redis
from service_tests.support.redis_tls import PASSWORD, QUOTED_PASSWORD, TlsRedis, run_redis_tls

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.process]


@pytest.fixture(scope="module")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    with run_redis_tls(tmp_path_factory.mktemp("tls")) as running:
        yield running


@pytest.mark.parametrize("kind", ["server", "cluster", "sentinel"])
async def test_store_works_over_tls(kind: str, tls_redis: TlsRedis) -> None:
    url = {"server": tls_redis.server_url, "cluster": tls_redis.cluster_url, "sentinel": tls_redis.sentinel_url}[kind]
    client = await open_redis(url + tls_redis.trust, timeout_s=5.0)
    store = HistoryStore(client)
    try:
        users = [f"u{number}" for number in range(20)]  # on both nodes of the cluster
        await store.append([NewEvent(user, "a", 1) for user in users])
        assert [(await store.read_recent(user)).version for user in users] == [1] * len(users)
        if kind != "cluster":
            assert issubclass(client.connection_pool.connection_class, SSLConnection)  # type: ignore[union-attr]
            database = {"server": "db2", "sentinel": "db3"}[kind]
            assert database in await client.info("keyspace")
    finally:
        await store.close()
        await close_redis(client)


@pytest.mark.parametrize("kind", ["server", "cluster", "sentinel"])
async def test_certificate_that_is_not_trusted_is_refused_unless_the_url_says_so(
    kind: str, tls_redis: TlsRedis
) -> None:
    url = {"server": tls_redis.server_url, "cluster": tls_redis.cluster_url, "sentinel": tls_redis.sentinel_url}[kind]
    with pytest.raises(StoreUnavailable) as caught:
        await open_redis(url, timeout_s=5.0)
    if kind != "sentinel":  # redis-py drops the reason there
        assert "the option ssl_ca_certs" in str(caught.value)
    await close_redis(await open_redis(f"{url}?ssl_cert_reqs=none", timeout_s=5.0))


async def test_errors_say_what_to_change_without_the_password(tls_redis: TlsRedis) -> None:
    trusted = tls_redis.server_url + tls_redis.trust
    for url, hint in (
        (tls_redis.plain_url + tls_redis.trust, "if this port does not speak TLS"),
        (trusted.replace("rediss://", "redis://").partition("?")[0], "use a scheme with rediss"),
        (trusted.replace(f":{QUOTED_PASSWORD}@", ""), "add user:password@"),
        (trusted.replace(QUOTED_PASSWORD, "wr0ng"), "check the user and the password"),
        (trusted.replace("/2?", "/99?"), "check the number of the database"),
    ):
        with pytest.raises(StoreUnavailable, match=hint) as caught:
            await open_redis(url, timeout_s=2.0)
        for secret in (PASSWORD, QUOTED_PASSWORD, "wr0ng"):
            assert secret not in str(caught.value)
        assert "\n" not in str(caught.value)
