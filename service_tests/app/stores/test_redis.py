"""Opening Redis by URL, and the same store on a cluster and behind Sentinel."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError

from app.errors import StoreUnavailable
from app.stores.embedded import find_redis_server
from app.stores.history import HistoryStore
from app.stores.merge import merge_histories
from app.stores.records import NewEvent
from app.stores.redis import close_redis, open_redis, parse_many_hosts, redacted

pytestmark = pytest.mark.anyio


def free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:  # a cluster node also listens at port + 10,000
            return port


def wait_for(client: Redis) -> None:
    for _ in range(500):
        try:
            client.ping()
        except RedisError:
            time.sleep(0.01)
        else:
            return


@contextmanager
def server(folder: Path, *options: str) -> Iterator[int]:
    folder.mkdir()
    port = free_port()
    command = [find_redis_server(), *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
    try:
        with Redis(port=port) as client:
            wait_for(client)
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def check_store(store: HistoryStore, new_user: Callable[[], str]) -> None:
    users = [new_user() + odd for odd in ("", "}", "{", "{}") for _ in range(10)]
    events = [NewEvent(user, f"item{number}", number, f"e{number}") for user in users for number in range(8)]
    assert {applied.status for applied in await store.append(events)} == {"stored"}
    assert {applied.status for applied in await store.append(events)} == {"duplicate"}
    assert (await store.recent(users[0])).version == 8
    assert len((await store.read(users[-1])).events) == 5
    assert {user async for user in store.users()} >= set(users)
    assert (await merge_histories(store, users[0], users[1])).keys_removed == 3
    assert await store.erase(users[2]) == 3
    usage = await store.usage()
    assert usage.memory_bytes > usage.startup_bytes > 100_000
    assert usage.keys >= 2 * len(users) - 6, "without those that were merged and erased"
    await store.ping()


@contextmanager
def cluster_node(folder: Path) -> Iterator[int]:
    """One node that holds all slots."""
    with server(folder, "--cluster-enabled", "yes") as port, Redis(port=port) as node:
        node.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        for _ in range(1000):
            if node.execute_command("CLUSTER INFO")["cluster_state"] == "ok":
                break
            time.sleep(0.01)
        yield port


@contextmanager
def sentinel_of(folder: Path, primary_port: int) -> Iterator[int]:
    configuration = folder / "sentinel.conf"
    configuration.write_text(f"sentinel monitor shop 127.0.0.1 {primary_port} 1\n")
    port = free_port()
    command = [find_redis_server(), str(configuration), "--sentinel", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with Redis(port=port) as client:
            wait_for(client)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.slow
async def test_a_cluster_serves_the_same_store(tmp_path: Path, new_user: Callable[[], str]) -> None:
    with cluster_node(tmp_path / "node") as port:
        client = await open_redis(f"redis+cluster://127.0.0.1:{port}", timeout_s=5.0)
        assert isinstance(client, RedisCluster)
        store = HistoryStore(client, max_events=5)
        await check_store(store, new_user)
        await store.close()
        await close_redis(client)


@pytest.mark.slow
async def test_sentinel_leads_to_the_primary(tmp_path: Path, new_user: Callable[[], str]) -> None:
    with server(tmp_path / "primary") as port, sentinel_of(tmp_path, port) as sentinel_port:
        client = await open_redis(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel_port}/shop/3", timeout_s=5.0)
        store = HistoryStore(client, max_events=5)
        await check_store(store, new_user)
        with Redis(port=port, db=3) as primary:
            assert primary.dbsize() > 0
        await store.close()
        await close_redis(client)


async def test_the_error_names_the_url_and_not_the_password() -> None:
    for url in (
        "redis://:s3cret@127.0.0.1:1/0",
        "redis+sentinel://me:s3cret@127.0.0.1:1/shop",
        "redis+cluster://me:s3cret@127.0.0.1:1",
    ):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as caught:
            await open_redis(url)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://x", "redis+sentinel://host:1", "redis+cluster://host:port", "nonsense"])
async def test_what_is_no_redis_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="not a Redis URL"):
        await open_redis(url)


async def test_urls_with_many_hosts_are_taken_apart() -> None:
    many = parse_many_hosts("redis+sentinel://u:p%40ss@a:1,b,[::1]:2/my%2Fshop/3", 26379)
    assert many.hosts == (("a", 1), ("b", 26379), ("::1", 2))
    assert (many.username, many.password, many.path) == ("u", "p@ss", ("my/shop", "3"))
    assert parse_many_hosts("redis+cluster://:p@a", 6379).username is None


async def test_passwords_are_redacted_wherever_they_stand() -> None:
    assert redacted("redis://u:a@b@host/0?password=x&db=1") == "redis://***@host/0?password=***&db=1"
    assert redacted("unix:///a@b/c") == "unix:///a@b/c"
