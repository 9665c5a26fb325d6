"""What only a cluster does: slots that move, nodes that are away while others are not, one round trip per node."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest

from app.errors import StoreUnavailable
from app.item_key import item_keys
from app.stores.history import HistoryStore
from app.stores.keys import build_user_keys
from app.stores.merge import merge_histories
from app.stores.records import NewEvent
from app.stores.redis.connect import close_redis, open_redis
from app.stores.results import StoredHistory
from service_tests.app.stores.servers import count_calls, read_statistic
from service_tests.support.redis_cluster import RedisCluster, redis_cluster
from service_tests.support.redis_processes import RedisProcess, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TIMEOUT_S = 1.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """One that tests may hurt and heal; it does not heal itself meanwhile."""
    with redis_cluster(tmp_path_factory.mktemp("own"), node_timeout_ms=20_000) as cluster:
        yield cluster


@pytest.fixture
async def store(cluster: RedisCluster) -> AsyncIterator[HistoryStore]:
    client = await open_redis(cluster.url, timeout_s=TIMEOUT_S)
    store = HistoryStore(client, max_events=5)
    yield store
    await store.close()
    await close_redis(client)


@pytest.fixture
def iter_users(cluster: RedisCluster, new_user: Callable[[], str]) -> list[str]:
    """Thirty, on every node some."""
    users = [new_user() for _ in range(30)]
    assert len({cluster.find_primary(user).port for user in users}) == 3
    return users


@contextmanager
def hanging(node: RedisProcess) -> Iterator[None]:
    node.pause()
    try:
        yield
    finally:
        node.resume()


async def fill(store: HistoryStore, users: list[str]) -> None:
    outcomes = await store.append([NewEvent(user, f"of-{user}", 1) for user in users])
    assert {outcome.status for outcome in outcomes} == {"stored"}


async def test_reads_of_one_tick_are_one_round_trip_per_node(store: HistoryStore, users: list[str]) -> None:
    await fill(store, users)
    before = await count_calls(store.client, "get"), await read_statistic(store.client, "total_reads_processed")
    histories = await asyncio.gather(*(store.read_recent(user) for user in users + users))
    after = await count_calls(store.client, "get"), await read_statistic(store.client, "total_reads_processed")
    assert [h.item_keys.tolist() for h in histories] == [item_keys([f"of-{user}"]).tolist() for user in users + users]
    assert after[0] - before[0] == len(users)
    assert after[1] - before[1] < 20, "three, and what the nodes tell each other meanwhile"


async def test_users_of_different_nodes_are_merged(
    cluster: RedisCluster, store: HistoryStore, users: list[str]
) -> None:
    into = users[0]
    source = next(user for user in users if cluster.find_primary(user) is not cluster.find_primary(into))
    await fill(store, [into, source])
    merged = await merge_histories(store, into, source)
    assert (merged.stored, merged.history_version, merged.keys_removed) == (1, 2, 2)
    assert [event.item_id for event in (await store.read_history(into)).events] == [f"of-{into}", f"of-{source}"]
    assert (await store.read_recent(source)).version == 0


async def test_a_user_whose_slot_is_under_way_is_found_wherever_the_keys_are(
    cluster: RedisCluster, store: HistoryStore, users: list[str]
) -> None:
    """ASK for keys that have left, TRYAGAIN for a user of whom one key has left, MOVED when all of it is done."""
    user, keys = users[0], build_user_keys(users[0])
    move = cluster.plan_slot_move(user)
    numbers = itertools.count(1)

    async def append_and_read() -> None:
        number = next(numbers)
        answers = await asyncio.gather(*(store.append([NewEvent(user, "a", number, f"e{number}")]) for _ in range(3)))
        assert sorted(applied.status for (applied,) in answers) == ["duplicate", "duplicate", "stored"]
        read, recent = await asyncio.gather(
            asyncio.gather(*(store.read_history(user) for _ in range(3))),
            asyncio.gather(*(store.read_recent(user) for _ in range(3))),
        )
        assert [history.version for history in read] + [history.version for history in recent] == [number] * 6

    for _ in range(8):
        await append_and_read()  # until events are trimmed: then there are three keys
    move.begin()
    await append_and_read()
    move.migrate(keys.events)
    with pytest.raises(StoreUnavailable, match="rehashing"):
        await store.append([NewEvent(user, "a", 100)])
    with pytest.raises(StoreUnavailable, match="rehashing"):
        await store.read_history(user)
    assert (await store.read_recent(user)).version == 9, "what a recommendation reads is one key, here or there"
    move.migrate(keys.items, keys.seen)
    for _ in range(5):
        await append_and_read()
    move.end()
    for _ in range(5):
        await append_and_read()
    assert cluster.find_primary(user) is move.target
    assert await store.erase(user) == 3


async def test_events_of_a_user_without_all_keys_wait_until_the_slot_has_moved(
    cluster: RedisCluster, store: HistoryStore, users: list[str]
) -> None:
    """Redis refuses several keys of a slot under way when one of them does not exist, here or there."""
    user = users[0]
    move = cluster.plan_slot_move(user)
    move.begin()
    with pytest.raises(StoreUnavailable, match="rehashing"):
        await store.append([NewEvent(user, "a", 1)])
    assert (await store.read_recent(user)).version == 0
    move.end()
    assert (await store.append([NewEvent(user, "a", 1)]))[0].history_version == 1


async def test_a_planned_change_of_the_primary_costs_no_caller_anything(
    cluster: RedisCluster, store: HistoryStore, users: list[str]
) -> None:
    old, new = cluster.find_primary(users[0]), cluster.find_replica(users[0])
    store = HistoryStore(store.client, max_events=1000, wait_replicas=1, wait_replicas_s=TIMEOUT_S / 2)
    with new.client() as replica:
        replica.execute_command("CLUSTER", "FAILOVER")
    number = 0
    while new.role() != "master" or number < 20:
        await store.append([NewEvent(user, f"i{number}", number) for user in users])
        assert {(await store.read_recent(user)).version for user in users} == {number + 1}
        number += 1
    assert old.role() == "slave"
    cluster.wait_until_healthy()
    await store.close()


async def test_a_silent_node_costs_its_own_users_an_error_and_the_others_nothing(
    cluster: RedisCluster, store: HistoryStore, users: list[str]
) -> None:
    await fill(store, users)
    silent = cluster.find_primary(users[0])
    away = [user for user in users if cluster.find_primary(user) is silent]
    there = [user for user in users if user not in away]
    with hanging(silent):
        waiting = asyncio.gather(*(store.read_recent(user) for user in away), return_exceptions=True)
        for number in range(40):
            user = there[number % len(there)]
            assert (await store.read_recent(user)).version == 1
            assert (await store.append([NewEvent(user, f"of-{user}", 1)]))[0].status == "duplicate"
        assert not waiting.done(), "nobody else waits for the silent one"
        assert {type(answer) for answer in await waiting} == {StoreUnavailable}

        together = asyncio.gather(*(store.read_recent(user) for user in users), return_exceptions=True)
        assert [isinstance(answer, StoredHistory) for answer in await together] == [user in there for user in users]
        await store.ping()
        assert (await store.usage()).keys >= 2 * len(there)

        many = asyncio.gather(*(store.append([NewEvent(user, "x", 2)]) for user in away * 20), return_exceptions=True)
        await asyncio.sleep(0)
        for user in there:
            assert (await store.append([NewEvent(user, f"of-{user}", 1)]))[0].status == "duplicate", "there is room"
        assert {type(answer) for answer in await many} == {StoreUnavailable}
    await asyncio.to_thread(wait_until, lambda: silent.role() == "master", "the node answers")
    await asyncio.sleep(0.2)
    assert [(await store.append([NewEvent(user, "y", 3)]))[0].status for user in away] == ["stored"] * len(away)


async def test_a_shard_without_any_node_fails_its_users_by_name_and_comes_back(
    cluster: RedisCluster, store: HistoryStore, users: list[str]
) -> None:
    await fill(store, users)
    gone = cluster.find_primary(users[0])
    there = next(user for user in users if cluster.find_primary(user) is not gone)
    gone.kill()
    with pytest.raises(StoreUnavailable, match=f"append.*{gone.port}"):
        await store.append([NewEvent(users[0], "x", 2)])
    with pytest.raises(StoreUnavailable, match=f"recent.*{gone.port}"):
        await store.read_recent(users[0])
    assert (await store.read_recent(there)).version == 1
    await store.ping()
    gone.start()
    assert (await store.append([NewEvent(there, "x", 2)]))[0].status == "stored"
