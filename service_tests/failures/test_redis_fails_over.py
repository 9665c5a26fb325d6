"""Redis failovers under load: no acknowledged event is lost or duplicated, and no answer is wrong.

Each test prints its figures as one JSON line: `pytest -s service_tests/failures/test_redis_fails_over.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from app.errors import StoreUnavailable
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.redis.connect import close_redis, open_redis
from models.catalogue.item_key import item_keys
from service_tests.failures.fail_over import CallFailed, Load
from service_tests.failures.fail_over_http import get_item, make_http_load, read_history, recommend
from service_tests.support.nextup_process import run_service
from service_tests.support.redis_cluster import RedisCluster, run_redis_cluster
from service_tests.support.redis_processes import RedisProcess, wait_for_redis
from service_tests.support.redis_sentinel import RedisSentinel, run_redis_sentinel

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

USERS = [f"u{number}" for number in range(12)]
CLUSTER_SILENT_MS = 500
"""Time without an answer after which a primary counts as failed; too short for production, where machines pause."""
SENTINEL_SILENT_MS = 3000
"""Sentinels ask once a second, or once in this time if it is shorter: one late reply then replaces a live primary."""
MAX_UNAVAILABLE_S = 15.0
"""Redis takes two seconds to detect the failure and elect a primary, and longer on a busy test machine."""
EVENTS_PER_STEP = 15
"""Events per user before the failover, after it, and once the old primary is back."""


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with run_redis_cluster(tmp_path_factory.mktemp("cluster"), node_timeout_ms=CLUSTER_SILENT_MS) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: RedisCluster) -> RedisCluster:
    shared_cluster.wait_until_healthy()
    return shared_cluster


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[RedisSentinel]:
    with run_redis_sentinel(tmp_path / "sentinel", down_after_ms=SENTINEL_SILENT_MS) as sentinel:
        yield sentinel


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[HistoryStore]:
    client = await open_redis(url)
    store = HistoryStore(client, wait_replicas=1)
    try:
        yield store
    finally:
        await store.close()
        await close_redis(client)


def make_store_load(store: HistoryStore, run: str) -> Load:
    """Make a load with two writers per user, so that events arrive out of order."""

    async def send(user: str, number: int) -> None:
        try:
            (result,) = await store.append([NewEvent(run + user, f"i{number}", number, f"{run}{user}e{number}")])
        except StoreUnavailable as error:
            raise CallFailed(f"events: {_describe(error)}") from error
        assert result.status in ("stored", "duplicate"), "a late event would be lost"

    async def read(user: str, count_sent: Callable[[], int], acknowledged: int) -> str:
        try:
            history = await store.read_recent(run + user)
        except StoreUnavailable as error:
            raise CallFailed(f"reads: {_describe(error)}") from error
        assert acknowledged <= history.version <= count_sent(), "all acknowledged events and only events that were sent"
        return "store"

    return Load(USERS, send, read, writers=2)


async def read_from_new_primary(store: HistoryStore, user: str) -> None:
    """Read until the client has found the new primary without the help of the old one, which is down."""
    async with asyncio.timeout(MAX_UNAVAILABLE_S):
        while True:
            with suppress(StoreUnavailable):
                assert (await store.read_recent(user)).version
                return
            await asyncio.sleep(0.05)


def _describe(error: StoreUnavailable) -> str:
    return type(error.__cause__).__name__ if error.__cause__ else error.detail.partition(": ")[2].split(" 127.")[0]


MAX_EVENTS = 100_000
"""More than a run stores."""


async def read_histories(store: HistoryStore, run: str) -> dict[str, list[int]]:
    """Read the numbers of the stored events by item key: names are kept by best effort while a primary is away."""
    numbers = {int(key): number for number, key in enumerate(item_keys([f"i{n}" for n in range(MAX_EVENTS)]))}
    histories = {user: await store.read_recent(run + user) for user in USERS}
    return {user: [numbers[int(key)] for key in history.item_keys] for user, history in histories.items()}


def check(figures: dict[str, object]) -> None:
    assert (figures["lost"], figures["duplicated"], figures["out_of_order"]) == (0, 0, 0)
    assert float(str(figures["unavailable_s"])) < MAX_UNAVAILABLE_S


async def test_cluster_survives_a_killed_primary(cluster: RedisCluster) -> None:
    run = "killed-"
    primary, replica = cluster.find_primary(run + USERS[0]), cluster.find_replica(run + USERS[0])
    async with open_store(cluster.url) as store:
        load = make_store_load(store, run)

        async def fail_over() -> None:
            await load.wait_for_more(EVENTS_PER_STEP)
            primary.kill()
            await _wait_in_thread(lambda: replica.read_role() == "master", "the promotion of the replica")
            await read_from_new_primary(store, run + USERS[0])
            primary.start()  # until it is a replica, no write can be acknowledged
            await load.wait_for_more(EVENTS_PER_STEP)

        await load.run(fail_over)
        check(load.report("cluster, primary killed", await read_histories(store, run)))


async def test_cluster_survives_a_primary_that_hangs_and_returns(cluster: RedisCluster) -> None:
    run = "hanging-"
    primary, replica = cluster.find_primary(run + USERS[0]), cluster.find_replica(run + USERS[0])
    unaffected = [user for user in USERS if cluster.find_primary(run + user) is not primary]
    affected = [user for user in USERS if user not in unaffected]
    assert unaffected, "users of more than one node"
    async with open_store(cluster.url) as store:
        load = make_store_load(store, run)

        async def fail_over() -> None:
            await load.wait_for_more(EVENTS_PER_STEP)
            _allow_failover(replica, allowed=False)
            primary.pause()
            before = {user: load.count(user) for user in affected}
            try:
                await load.wait_for_more(EVENTS_PER_STEP, unaffected)
                more = {user: load.count(user) - before[user] for user in affected}
                assert max(more.values()) <= load.writers, "only acknowledgements that were on their way"
                _allow_failover(replica, allowed=True)
                await _wait_in_thread(lambda: replica.read_role() == "master", "the promotion of the replica")
                await read_from_new_primary(store, run + USERS[0])
            finally:
                _allow_failover(replica, allowed=True)
                primary.resume()
            await load.wait_for_more(EVENTS_PER_STEP)

        await load.run(fail_over)
        check(load.report("cluster, primary hangs", await read_histories(store, run)))


async def test_sentinel_survives_a_primary_that_hangs_and_returns(sentinel: RedisSentinel) -> None:
    primary = sentinel.find_primary()
    async with open_store(sentinel.url) as store:
        load = make_store_load(store, "")

        async def fail_over() -> None:
            await load.wait_for_more(EVENTS_PER_STEP)
            primary.pause()
            try:
                await _wait_in_thread(lambda: sentinel.has_replaced(primary), "a new primary")
                await load.wait_for_more(EVENTS_PER_STEP)
            finally:
                primary.resume()
            await load.wait_for_more(EVENTS_PER_STEP)

        await load.run(fail_over)
        check(load.report("sentinel, primary hangs", await read_histories(store, "")))


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
async def test_service_over_http_survives_a_killed_primary(
    kind: str, request: pytest.FixtureRequest, tiny_artifact: Path, tmp_path: Path
) -> None:
    redis: RedisCluster | RedisSentinel = request.getfixturevalue(kind)
    service = run_service(
        tmp_path,
        "--artifact",
        str(tiny_artifact),
        NEXTUP_REDIS_URL=redis.url,
        NEXTUP_REDIS_WAIT_REPLICAS="1",
        NEXTUP_REQUEST_DEADLINE_MS="5000",
    )
    with service as running:
        async with httpx.AsyncClient(base_url=running.url, timeout=30.0) as http:
            answers: dict[tuple[str, ...], list[str]] = {}
            load = make_http_load(http, USERS, answers)
            primary = redis.find_primary(USERS[0]) if isinstance(redis, RedisCluster) else redis.find_primary()

            async def fail_over() -> None:
                await load.wait_for_more(EVENTS_PER_STEP)
                primary.kill()
                await _wait_in_thread(lambda: _has_replaced(redis, primary), "a new primary")
                primary.start()
                await load.wait_for_more(EVENTS_PER_STEP)

            await load.run(fail_over)
            histories = {user: await read_history(http, user) for user in USERS}
            check(load.report(f"{kind}, primary killed, over HTTP", histories))
            assert load.requests["reads answered by model"] > len(USERS)
            for history, item_ids in answers.items():
                assert await recommend(http, history=list(history)) == item_ids, "same answer as during the failover"
            for user in USERS:
                history_items = [get_item(number) for number in histories[user]]
                assert await recommend(http, user_id=user) == await recommend(http, history=history_items)


def _allow_failover(replica: RedisProcess, *, allowed: bool) -> None:
    with replica.connect() as client:
        client.config_set("cluster-replica-no-failover", "no" if allowed else "yes")


async def _wait_in_thread(condition: Callable[[], bool], description: str) -> None:
    await asyncio.to_thread(wait_for_redis, condition, description)


def _has_replaced(redis: RedisCluster | RedisSentinel, primary: RedisProcess) -> bool:
    if isinstance(redis, RedisCluster):
        return redis.find_primary(USERS[0]) is not primary
    return redis.has_replaced(primary)
