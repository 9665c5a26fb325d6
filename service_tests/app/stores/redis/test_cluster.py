"""Cluster only: migrating slots, nodes that are down while others work, one round trip per node."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from redis.asyncio.cluster import RedisCluster as RedisClusterClient

from app.errors import StoreUnavailable
from app.runtime.circuit_breaker import State
from app.stores.history import HistoryStore
from app.stores.keys import build_log_key, build_user_keys
from app.stores.records import NewEvent
from app.stores.redis.cluster_pipelines import ClusterCommandPipeline
from app.stores.redis.cluster_topology import REFRESH_INTERVAL_S
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.pipelines import Command, PipelineLimits
from app.stores.results import StoredHistory
from app.users.service import UserService
from models.catalogue.item_key import item_keys
from service_tests.app.stores.servers import count_calls, read_statistic
from service_tests.support.redis_cluster import RedisCluster, run_redis_cluster
from service_tests.support.redis_processes import RedisProcess, wait_for_redis

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TIMEOUT_S = 1.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster that tests may break and repair; its timeout is too long for failovers during a test."""
    with run_redis_cluster(tmp_path_factory.mktemp("own"), node_timeout_ms=20_000) as cluster:
        yield cluster


@pytest.fixture
async def store(cluster: RedisCluster) -> AsyncIterator[HistoryStore]:
    client = await open_redis(cluster.url, timeout_s=TIMEOUT_S)
    store = HistoryStore(client, max_events=5)
    yield store
    await store.close()
    await close_redis(client)


@pytest.fixture
def users(cluster: RedisCluster, new_user: Callable[[], str]) -> list[str]:
    """Thirty users, some on every node."""
    users = [new_user() for _ in range(30)]
    assert len({cluster.find_primary(user).port for user in users}) == 3
    return users


@contextmanager
def pause_node(node: RedisProcess) -> Iterator[None]:
    node.pause()
    try:
        yield
    finally:
        node.resume()


async def fill(store: HistoryStore, users: list[str]) -> None:
    results = await store.append([NewEvent(user, f"of-{user}", 1) for user in users])
    assert {result.status for result in results} == {"stored"}


async def test_reads_of_one_tick_share_one_round_trip_per_node(store: HistoryStore, users: list[str]) -> None:
    await fill(store, users)
    before = await count_calls(store.client, "get"), await read_statistic(store.client, "total_reads_processed")
    histories = await asyncio.gather(*(store.read_recent(user) for user in users + users))
    after = await count_calls(store.client, "get"), await read_statistic(store.client, "total_reads_processed")
    assert [h.item_keys.tolist() for h in histories] == [item_keys([f"of-{user}"]).tolist() for user in users + users]
    assert after[0] - before[0] == len(users)
    assert after[1] - before[1] < 20, "three, plus gossip between the nodes"


async def test_merge_works_across_nodes(cluster: RedisCluster, store: HistoryStore, users: list[str]) -> None:
    into = users[0]
    source = next(user for user in users if cluster.find_primary(user) is not cluster.find_primary(into))
    await fill(store, [into, source])
    merged = await UserService(store).merge(into, source)
    assert (merged.stored, merged.history_version, merged.keys_removed) == (1, 2, 1)
    assert [event.item_id for event in (await store.read_history(into)).events] == [f"of-{into}", f"of-{source}"]
    assert (await store.read_recent(source)).version == 0


async def test_user_of_a_migrating_slot_is_served_wherever_the_keys_are(
    cluster: RedisCluster, store: HistoryStore, users: list[str]
) -> None:
    """ASK for keys that have moved, TRYAGAIN while only one key has moved, MOVED after the migration."""
    user, keys = users[0], build_user_keys(users[0])
    move = cluster.plan_slot_move(user)
    numbers = itertools.count(1)

    async def append_and_read() -> None:
        number = next(numbers)
        results = await asyncio.gather(*(store.append([NewEvent(user, "a", number, f"e{number}")]) for _ in range(3)))
        assert sorted(result.status for (result,) in results) == ["duplicate", "duplicate", "stored"]
        histories, recent = await asyncio.gather(
            asyncio.gather(*(store.read_history(user) for _ in range(3))),
            asyncio.gather(*(store.read_recent(user) for _ in range(3))),
        )
        assert [history.version for history in histories] + [history.version for history in recent] == [number] * 6

    for _ in range(8):
        await append_and_read()
    move.begin()
    await append_and_read()
    move.migrate(keys.seen)
    with pytest.raises(StoreUnavailable, match="rehashing"):
        await store.append([NewEvent(user, "a", 100)])
    with pytest.raises(StoreUnavailable, match="rehashing"):
        await store.read_snapshot(user)
    assert (await store.read_recent(user)).version == 9, "a recommendation reads one key, which one of the nodes has"
    assert (await store.read_history(user)).version == 9
    move.migrate(keys.items, build_log_key(user, is_cluster=True))
    for _ in range(5):
        await append_and_read()
    move.end()
    for _ in range(5):
        await append_and_read()
    assert cluster.find_primary(user) is move.target
    assert await store.erase(user) == 2


async def test_append_for_a_user_with_missing_keys_fails_until_the_slot_has_moved(
    cluster: RedisCluster, store: HistoryStore, users: list[str]
) -> None:
    """Redis rejects commands with several keys of a migrating slot if one of the keys does not exist."""
    user = users[0]
    move = cluster.plan_slot_move(user)
    move.begin()
    with pytest.raises(StoreUnavailable, match="rehashing"):
        await store.append([NewEvent(user, "a", 1)])
    assert (await store.read_recent(user)).version == 0
    move.end()
    assert (await store.append([NewEvent(user, "a", 1)]))[0].history_version == 1


async def test_planned_failover_fails_no_call(cluster: RedisCluster, store: HistoryStore, users: list[str]) -> None:
    old, new = cluster.find_primary(users[0]), cluster.find_replica(users[0])
    store = HistoryStore(store.client, max_events=1000, wait_replicas=1, wait_replicas_s=TIMEOUT_S / 2)
    with new.connect() as replica:
        replica.execute_command("CLUSTER", "FAILOVER")
    number = 0
    while new.read_role() != "master" or number < 20:
        await store.append([NewEvent(user, f"i{number}", number) for user in users])
        assert {(await store.read_recent(user)).version for user in users} == {number + 1}
        number += 1
    assert old.read_role() == "slave"
    cluster.wait_until_healthy()
    await store.close()


async def test_unresponsive_node_fails_its_own_users_and_does_not_affect_the_others(
    cluster: RedisCluster, store: HistoryStore, users: list[str]
) -> None:
    await fill(store, users)
    node = cluster.find_primary(users[0])
    affected = [user for user in users if cluster.find_primary(user) is node]
    unaffected = [user for user in users if user not in affected]
    with pause_node(node):
        waiting = asyncio.gather(*(store.read_recent(user) for user in affected), return_exceptions=True)
        for number in range(40):
            user = unaffected[number % len(unaffected)]
            assert (await store.read_recent(user)).version == 1
            assert (await store.append([NewEvent(user, f"of-{user}", 1)]))[0].status == "duplicate"
        assert not waiting.done(), "calls for other nodes do not wait for the unresponsive node"
        assert {type(result) for result in await waiting} == {StoreUnavailable}

        together = asyncio.gather(*(store.read_recent(user) for user in users), return_exceptions=True)
        assert [isinstance(result, StoredHistory) for result in await together] == [
            user in unaffected for user in users
        ]
        await store.ping()
        assert (await store.read_usage()).keys >= len(unaffected)

        failing = asyncio.gather(
            *(store.append([NewEvent(user, "x", 2)]) for user in affected * 20), return_exceptions=True
        )
        await asyncio.sleep(0)
        for user in unaffected:
            (result,) = await store.append([NewEvent(user, f"of-{user}", 1)])
            assert result.status == "duplicate", "connections are free for the other nodes"
        assert {type(result) for result in await failing} == {StoreUnavailable}
    await asyncio.to_thread(wait_for_redis, lambda: node.read_role() == "master", "a node that answers")
    await asyncio.sleep(0.2)
    for user in affected:
        assert (await store.append([NewEvent(user, "y", 3)]))[0].status == "stored"


async def test_unresponsive_node_opens_its_circuit_within_the_limit_of_a_read_and_closes_it(
    cluster: RedisCluster, users: list[str]
) -> None:
    states: list[State] = []
    limits = PipelineLimits(read_s=0.2, send_s=5.0, on_circuit_change=lambda state, _: states.append(state))
    client = await open_redis(cluster.url, timeout_s=30.0)
    store = HistoryStore(client, wait_s=30.0, limits=limits)
    await fill(store, users)
    node = cluster.find_primary(users[0])
    with pause_node(node):
        with pytest.raises(StoreUnavailable, match="no answer within 200 ms"):
            await store.read_recent(users[0])
        assert states == ["open"]
    await asyncio.to_thread(wait_for_redis, lambda: node.read_role() == "master", "a node that answers")
    await asyncio.sleep(0.2)
    assert (await store.read_recent(users[0])).version == 1
    assert states == ["open", "closed"]
    await store.close()
    await close_redis(client)


async def test_reads_do_not_wait_for_a_refresh_that_asks_an_unresponsive_node(
    cluster: RedisCluster, users: list[str]
) -> None:
    client = await open_redis(cluster.url, timeout_s=TIMEOUT_S)
    assert isinstance(client, RedisClusterClient)
    pipeline = ClusterCommandPipeline(client)
    key = build_user_keys(users[0]).items
    command = Command(key, ("EXISTS", key))
    replicas = [node for node in cluster.nodes if node not in cluster.list_primaries()]
    with ExitStack() as paused:
        for replica in replicas:
            paused.enter_context(pause_node(replica))
        answered_early = False
        for _ in range(30):  # a refresh asks the nodes in random order: half of the first are replicas
            pipeline.topology.is_stale = True
            assert await pipeline.send([command]) == [0]
            answered_early = pipeline.topology.is_refreshing
            if answered_early:
                break
            await asyncio.sleep(REFRESH_INTERVAL_S)
        assert answered_early, "no answer came during a refresh"
        await pipeline.close()
        assert not pipeline.topology.is_refreshing
    await close_redis(client)


async def test_error_names_the_node_of_a_shard_that_is_down_until_it_is_back(
    cluster: RedisCluster, store: HistoryStore, users: list[str]
) -> None:
    await fill(store, users)
    node = cluster.find_primary(users[0])
    unaffected = next(user for user in users if cluster.find_primary(user) is not node)
    node.kill()
    with pytest.raises(StoreUnavailable, match=f"append.*{node.port}"):
        await store.append([NewEvent(users[0], "x", 2)])
    with pytest.raises(StoreUnavailable, match=f"recent.*{node.port}"):
        await store.read_recent(users[0])
    assert (await store.read_recent(unaffected)).version == 1
    await store.ping()
    node.start()
    assert (await store.append([NewEvent(unaffected, "x", 2)]))[0].status == "stored"
