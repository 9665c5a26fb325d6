"""Writes that replicas must acknowledge: NEXTUP_REDIS_WAIT_REPLICAS on a server with one replica."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from app.errors import StoreUnavailable
from app.settings import Settings
from app.stores.event_log import EventLogLimits
from app.stores.history import HistoryStore
from app.stores.keys import build_user_keys
from app.stores.records import NewEvent
from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis
from app.stores.results import AppendResult
from app.users.service import UserService
from service_tests.app.stores.servers import count_calls
from service_tests.support.redis_processes import RedisProcess, wait_for_redis

pytestmark = [pytest.mark.anyio, pytest.mark.process]

OPTIONS = {"save": "", "repl-diskless-sync": "yes", "repl-diskless-sync-delay": "0"}


@dataclass(frozen=True)
class Pair:
    primary: RedisProcess
    replica: RedisProcess

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.primary.port}"

    def disconnect(self) -> None:
        """Pause the replica, and make sure that no later write is on its way to it."""
        self.replica.pause()
        with self.primary.connect() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")

    def reconnect(self) -> None:
        self.replica.resume()
        self.wait_until_connected()

    def wait_until_connected(self) -> None:
        wait_for_redis(self._is_connected, "a replica that acknowledges writes")

    def _is_connected(self) -> bool:
        """The primary sends writes to a new replica only after its first acknowledgement."""
        with self.primary.connect() as client:
            client.incr("joined")
            return bool(client.execute_command("WAIT", 1, 100))

    def has_replica_key(self, key: bytes) -> bool:
        with self.replica.connect() as client:
            return bool(client.exists(key))

    def count_replica_calls(self, command: str) -> int:
        with self.replica.connect() as client:
            stats = client.info("commandstats")
        return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    primary = RedisProcess(tmp_path / "primary", OPTIONS)
    replica = RedisProcess(tmp_path / "replica", OPTIONS | {"replicaof": f"127.0.0.1 {primary.port}"})
    try:
        pair = Pair(primary, replica)
        pair.wait_until_connected()
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
async def test_event_lost_with_its_primary_was_acknowledged_only_without_wait_replicas(
    wait_replicas: int, pair: Pair, client: RedisClient
) -> None:
    store = HistoryStore(client, wait_replicas=wait_replicas, wait_replicas_s=0.2)
    await store.append([NewEvent("u", "before", 1)])
    wait_for_redis(lambda: pair.has_replica_key(build_user_keys("u").items), "a replica with the key")
    pair.disconnect()
    (result,) = await asyncio.gather(store.append([NewEvent("u", "after", 2)]), return_exceptions=True)
    pair.primary.kill()
    pair.replica.resume()
    with pair.replica.connect() as promoted:
        promoted.execute_command("REPLICAOF", "NO", "ONE")
    new_client = await open_redis(f"redis://127.0.0.1:{pair.replica.port}")
    history = await HistoryStore(new_client).read_history("u")
    await close_redis(new_client)
    assert [event.item_id for event in history.events] == ["before"]
    if wait_replicas:
        assert isinstance(result, StoreUnavailable)
        assert "not acknowledged: 0 of 1 replicas" in result.detail
        assert result.retry_after_s == 1.0
    else:
        assert result == [AppendResult("stored", 2)], "lost, although the caller got `stored`"


async def test_repeated_append_without_acknowledgement_stores_events_once(pair: Pair, store: HistoryStore) -> None:
    events = [NewEvent("u", "a", 1, "e1"), NewEvent("u", "b", 2)]
    pair.disconnect()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="not acknowledged"):
            await store.append(events)
    pair.reconnect()
    assert [result.status for result in await store.append(events)] == ["duplicate"] * 2
    assert (await store.read_recent("u")).version == 2
    assert pair.has_replica_key(build_user_keys("u").items)


async def test_duplicate_repeats_a_write_so_that_wait_covers_it(
    pair: Pair, client: RedisClient, store: HistoryStore
) -> None:
    """WAIT of newer Redis versions covers only writes of the same connection, and a duplicate writes nothing."""
    await store.append([NewEvent("u", "a", 1)])
    for tested_store, writes in ((store, 1), (HistoryStore(client, max_events=5), 0)):
        before, snapshot = pair.count_replica_calls("setrange"), await store.read_snapshot("u")
        assert (await tested_store.append([NewEvent("u", "a", 1)]))[0].status == "duplicate"
        assert pair.count_replica_calls("setrange") == before + writes
        assert await store.read_snapshot("u") == snapshot
    before = pair.count_replica_calls("setrange")
    await store.append([NewEvent("u", "a", 1)] * 3)
    assert pair.count_replica_calls("setrange") == before + 1, "one write for any number of duplicates"


async def test_one_append_of_many_users_waits_once(
    client: RedisClient, store: HistoryStore, new_user: Callable[[], str]
) -> None:
    await store.append([NewEvent(new_user(), "a", 1)])  # loads the script
    before = await count_calls(client, "wait")
    await store.append([NewEvent(new_user(), "a", 1) for _ in range(100)])
    assert await count_calls(client, "wait") == before + 1
    await HistoryStore(client).append([NewEvent(new_user(), "a", 1)])
    assert await count_calls(client, "wait") == before + 1, "no WAIT without wait_replicas"


async def test_erasure_succeeds_once_the_replica_has_erased_too(
    pair: Pair, client: RedisClient, store: HistoryStore
) -> None:
    await store.append([NewEvent("u", "a", 1)])
    pair.disconnect()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="not acknowledged"):
            await store.erase("u")
    pair.reconnect()
    calls = pair.count_replica_calls("xadd"), pair.count_replica_calls("set")
    assert await store.erase("u") == 0, "the primary had erased it before"
    assert pair.count_replica_calls("xadd") == calls[0] + 1, "a write for WAIT to cover"
    without_log = HistoryStore(client, wait_replicas=1, wait_replicas_s=0.2, event_log=EventLogLimits("off"))
    assert await without_log.erase("u") == 0
    assert pair.count_replica_calls("set") == calls[1] + 1, "another write for WAIT to cover"
    assert not any(pair.has_replica_key(key) for key in build_user_keys("u")), "the write leaves no key"


async def test_merge_without_acknowledgement_keeps_its_source(pair: Pair, store: HistoryStore) -> None:
    users = UserService(store)
    await store.append([NewEvent("source", "a", 1), NewEvent("into", "b", 2)])
    pair.disconnect()
    with pytest.raises(StoreUnavailable, match="not acknowledged"):
        await users.merge("into", "source")
    pair.reconnect()
    assert [event.item_id for event in (await store.read_history("source")).events] == ["a"]
    assert (await users.merge("into", "source")).keys_removed == 1
    assert [event.item_id for event in (await store.read_history("into")).events] == ["a", "b"]


async def test_reads_do_not_wait_for_replicas(pair: Pair, store: HistoryStore) -> None:
    await store.append([NewEvent("u", "a", 1)])
    pair.disconnect()
    async with asyncio.timeout(0.15):
        assert (await store.read_recent("u")).version == 1
        assert (await store.read_history("u")).version == 1


def test_settings_reject_wait_replicas_with_the_embedded_redis() -> None:
    with pytest.raises(ValidationError, match=r"needs a Redis with replicas \(got 1\); set NEXTUP_REDIS_URL"):
        Settings(redis_wait_replicas=1)
    assert Settings(redis_wait_replicas=1, redis_url=SecretStr("redis://x")).redis_wait_replicas == 1
