"""Writes that replicas must have before they count: NEXTUP_REDIS_WAIT_REPLICAS on a server with one replica."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import StoreUnavailable
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.keys import build_user_keys
from app.stores.merge import merge_histories
from app.stores.records import NewEvent
from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis
from app.stores.results import AppendResult
from service_tests.app.stores.servers import count_calls
from service_tests.support.redis_processes import RedisProcess, wait_until

pytestmark = pytest.mark.anyio

OPTIONS = {"save": "", "repl-diskless-sync": "yes", "repl-diskless-sync-delay": "0"}


@dataclass(frozen=True)
class Pair:
    primary: RedisProcess
    replica: RedisProcess

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.primary.port}"

    def cut(self) -> None:
        """The replica hangs, and nothing written from now on can be on its way to it."""
        self.replica.pause()
        with self.primary.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")

    def join(self) -> None:
        self.replica.resume()
        wait_until(self.is_joined, "a replica that follows")

    def is_joined(self) -> bool:
        """A new replica is sent writes only once it has said for the first time how far it is."""
        with self.primary.client() as client:
            client.incr("joined")
            return bool(client.execute_command("WAIT", 1, 100))

    def replica_has(self, key: bytes) -> bool:
        with self.replica.client() as client:
            return bool(client.exists(key))

    def calls_at_replica(self, command: str) -> int:
        with self.replica.client() as client:
            stats = client.info("commandstats")
        return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    primary = RedisProcess(tmp_path / "primary", OPTIONS)
    replica = RedisProcess(tmp_path / "replica", OPTIONS | {"replicaof": f"127.0.0.1 {primary.port}"})
    try:
        pair = Pair(primary, replica)
        wait_until(pair.is_joined, "a replica that follows")
        yield pair
    finally:
        primary.stop()
        replica.stop()


@pytest.fixture
async def client(pair: Pair) -> AsyncIterator[RedisClient]:
    client = await open_redis(pair.url, timeout_s=5.0)
    yield client
    await close_redis(client)


@pytest.fixture
async def store(client: RedisClient) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(client, max_events=5, wait_replicas=1, wait_replicas_s=0.2)
    yield store
    await store.close()


@pytest.mark.parametrize("wait_replicas", [0, 1])
async def test_an_event_that_dies_with_its_primary_was_acknowledged_only_where_nobody_waits(
    wait_replicas: int, pair: Pair, client: RedisClient
) -> None:
    store = HistoryStore(client, wait_replicas=wait_replicas, wait_replicas_s=0.2)
    await store.append([NewEvent("u", "before", 1)])
    wait_until(lambda: pair.replica_has(build_user_keys("u").items), "a replica that has it")
    pair.cut()
    (answer,) = await asyncio.gather(store.append([NewEvent("u", "after", 2)]), return_exceptions=True)
    pair.primary.kill()
    pair.replica.resume()
    with pair.replica.client() as promoted:
        promoted.execute_command("REPLICAOF", "NO", "ONE")
    other = await open_redis(f"redis://127.0.0.1:{pair.replica.port}")
    history = await HistoryStore(other).read_history("u")
    await close_redis(other)
    assert [event.item_id for event in history.events] == ["before"]
    if wait_replicas:
        assert isinstance(answer, StoreUnavailable)
        assert "not acknowledged: 0 of 1 replicas" in answer.detail
        assert answer.retry_after_s == 1.0
    else:
        assert answer == [AppendResult("stored", 2)], "lost, and the caller was told that it is stored"


async def test_what_was_not_acknowledged_is_sent_again_and_stored_once(pair: Pair, store: HistoryStore) -> None:
    events = [NewEvent("u", "a", 1, "e1"), NewEvent("u", "b", 2)]
    pair.cut()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="not acknowledged"):
            await store.append(events)
    pair.join()
    assert [applied.status for applied in await store.append(events)] == ["duplicate"] * 2
    assert (await store.read_recent("u")).version == 2
    assert pair.replica_has(build_user_keys("u").events)


async def test_waiting_for_a_duplicate_is_waiting_for_a_write_of_this_connection(
    pair: Pair, client: RedisClient, store: HistoryStore
) -> None:
    """From some version of Redis on, WAIT looks at what its own connection wrote, and a duplicate writes nothing."""
    await store.append([NewEvent("u", "a", 1)])
    for waiting, writes in ((store, 1), (HistoryStore(client, max_events=5), 0)):
        before, value = pair.calls_at_replica("setrange"), await store.read_values("u")
        assert (await waiting.append([NewEvent("u", "a", 1)]))[0].status == "duplicate"
        assert pair.calls_at_replica("setrange") == before + writes
        assert await store.read_values("u") == value
    before = pair.calls_at_replica("setrange")
    await store.append([NewEvent("u", "a", 1)] * 3)
    assert pair.calls_at_replica("setrange") == before + 1, "however many they are"


async def test_many_users_in_one_call_are_waited_for_once(
    client: RedisClient, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    await store.append([NewEvent(new_user(), "a", 1)])  # so that the server knows the script
    before = await count_calls(client, "wait")
    await store.append([NewEvent(new_user(), "a", 1) for _ in range(100)])
    assert await count_calls(client, "wait") == before + 1
    await HistoryStore(client).append([NewEvent(new_user(), "a", 1)])
    assert await count_calls(client, "wait") == before + 1, "who does not wait does not ask"


async def test_an_erasure_counts_when_the_replica_has_erased_too(pair: Pair, store: HistoryStore) -> None:
    await store.append([NewEvent("u", "a", 1)])
    pair.cut()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="not acknowledged"):
            await store.erase("u")
    pair.join()
    before = pair.calls_at_replica("set")
    assert await store.erase("u") == 0, "it was gone, and now it is gone from both"
    assert pair.calls_at_replica("set") == before + 1, "something was written to wait for"
    assert not any(pair.replica_has(key) for key in build_user_keys("u")), "and it is gone as well"


async def test_a_merge_that_is_not_acknowledged_keeps_its_source(pair: Pair, store: HistoryStore) -> None:
    await store.append([NewEvent("source", "a", 1), NewEvent("into", "b", 2)])
    pair.cut()
    with pytest.raises(StoreUnavailable, match="not acknowledged"):
        await merge_histories(store, "into", "source")
    pair.join()
    assert [event.item_id for event in (await store.read_history("source")).events] == ["a"]
    assert (await merge_histories(store, "into", "source")).keys_removed == 2
    assert [event.item_id for event in (await store.read_history("into")).events] == ["a", "b"]


async def test_a_read_waits_for_nobody(pair: Pair, store: HistoryStore) -> None:
    await store.append([NewEvent("u", "a", 1)])
    pair.cut()
    async with asyncio.timeout(0.15):
        assert (await store.read_recent("u")).version == 1
        assert (await store.read_history("u")).version == 1


async def test_replicas_of_the_embedded_redis_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"NEXTUP_REDIS_WAIT_REPLICAS=1 .*NEXTUP_REDIS_URL"):
        Settings(redis_wait_replicas=1)
    assert Settings(redis_wait_replicas=1, redis_url="redis://x").redis_wait_replicas == 1
