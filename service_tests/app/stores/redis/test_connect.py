"""Clients from URLs, and the same store on a server, on a cluster and behind Sentinel."""

from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import cluster

from app.errors import StoreUnavailable
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis
from app.users.service import UserService
from service_tests.support.redis_cluster import RedisCluster
from service_tests.support.redis_sentinel import RedisSentinel

pytestmark = pytest.mark.anyio


async def check_store(store: HistoryStore, new_user: Callable[[], str]) -> None:
    users = [new_user() + suffix for suffix in ("", "}", "{", "{}") for _ in range(10)]
    events = [NewEvent(user, f"item{number}", number, f"e{number}") for user in users for number in range(8)]
    assert {result.status for result in await store.append(events)} == {"stored"}
    assert {result.status for result in await store.append(events)} == {"duplicate"}
    assert (await store.read_recent(users[0])).version == 8
    assert len((await store.read_history(users[-1])).events) == 5
    assert {user async for user in store.iter_users()} >= set(users)
    assert (await UserService(store).merge(users[0], users[1])).keys_removed == 2
    assert await store.erase(users[2]) == 2
    usage = await store.read_usage()
    assert usage.memory_bytes > usage.startup_bytes > 100_000
    assert usage.keys >= 2 * len(users) - 6, "all but those of merged and erased users"
    await store.ping()


@pytest.mark.slow
async def test_store_works_on_every_kind_of_redis(redis_url: str, new_user: Callable[[], str]) -> None:
    client = await open_redis(redis_url, timeout_s=5.0)
    assert isinstance(client, cluster.RedisCluster) == redis_url.startswith("redis+cluster:")
    store = HistoryStore(client, max_events=5)
    await check_store(store, new_user)
    await store.close()
    await close_redis(client)


async def test_sentinel_url_selects_the_database(healthy_sentinel: RedisSentinel, new_user: Callable[[], str]) -> None:
    url = healthy_sentinel.url.replace("redis+sentinel://", "redis+sentinel://127.0.0.1:1,")
    client = await open_redis(f"{url}/3", timeout_s=5.0)
    store = HistoryStore(client)
    await store.append([NewEvent(new_user(), "a", 1)])
    assert (await client.info("keyspace"))["db3"]["keys"] >= 2
    await store.close()
    await close_redis(client)


async def test_error_names_the_url_without_the_password() -> None:
    for url in (
        "redis://:s3cret@127.0.0.1:1/0",
        "redis+sentinel://me:s3cret@127.0.0.1:1/shop",
        "redis+cluster://me:s3cret@127.0.0.1:1",
    ):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as caught:
            await open_redis(url)
        assert "s3cret" not in str(caught.value)


async def test_error_gives_the_reason_for_an_invalid_url_and_names_the_setting() -> None:
    with pytest.raises(StoreUnavailable, match=r"URL of Redis must begin with redis://.*; correct NEXTUP_REDIS_URL"):
        await open_redis("http://:s3cret@x")


async def test_error_names_the_url_of_a_server_of_another_kind(
    healthy_cluster: RedisCluster, healthy_sentinel: RedisSentinel
) -> None:
    node, sentinel, plain = (
        healthy_cluster.nodes[0].port,
        healthy_sentinel.sentinels[0].port,
        healthy_sentinel.nodes[0].port,
    )
    for url, reason in (
        (f"redis://127.0.0.1:{node}", r"a node of a cluster: use redis\+cluster:"),
        (f"redis://127.0.0.1:{sentinel}", r"a Sentinel: use redis\+sentinel:"),
        (f"redis+cluster://127.0.0.1:{plain}", "[Cc]luster mode is not enabled"),
        (f"redis+sentinel://127.0.0.1:{plain}/shop", "SENTINEL"),
        (f"redis+sentinel://127.0.0.1:{sentinel}/cellar", "cellar"),
    ):
        with pytest.raises(StoreUnavailable, match=reason) as caught:
            await open_redis(url)
        assert url in str(caught.value)


@pytest.mark.process
async def test_server_that_is_away_is_tolerated_only_on_request(tmp_path: Path) -> None:
    redis = EmbeddedRedis.start(tmp_path)
    try:
        with SyncRedis.from_url(redis.url) as admin:
            admin.execute_command("ACL SETUSER shop on >pw ~* +@all")
        wrong_password = redis.url.replace("unix://", "unix://shop:wrong@", 1)
        with pytest.raises(StoreUnavailable, match="check the user and the password"):
            await open_redis(wrong_password, must_answer=False)
        redis.stop()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await open_redis(redis.url)
        client = await open_redis(redis.url, must_answer=False)
        store = HistoryStore(client)
        with pytest.raises(StoreUnavailable):
            await store.ping()
        redis = EmbeddedRedis.start(tmp_path)
        await store.ping()
        await store.close()
        await close_redis(client)
    finally:
        redis.stop()
