"""One Redis takes another's place under load: no acknowledged event is lost or doubled, and no answer is wrong.

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
from service_tests.failures.fail_over import CallFailed, Load
from service_tests.failures.fail_over_http import history_of, http_load, item_of, recommend
from service_tests.support.nextup_process import run_service
from service_tests.support.redis_cluster import RedisCluster, redis_cluster
from service_tests.support.redis_processes import wait_until
from service_tests.support.redis_sentinel import RedisSentinel, redis_sentinel

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

USERS = [f"u{number}" for number in range(12)]
SILENT_MS = 500
"""After this a primary counts as gone. Far too short for production, where a pause of the machine would do."""
BACK_WITHIN_S = 15.0
"""Redis takes two seconds to notice and elect, and a busy test machine some more; redis-py none that it notices."""
EACH = 15
"""Events per user before, after, and once the old primary is back."""


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster"), node_timeout_ms=SILENT_MS) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: RedisCluster) -> RedisCluster:
    shared_cluster.wait_until_healthy()
    return shared_cluster


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[RedisSentinel]:
    with redis_sentinel(tmp_path / "sentinel", down_after_ms=SILENT_MS) as sentinel:
        yield sentinel


@asynccontextmanager
async def store_of(url: str) -> AsyncIterator[HistoryStore]:
    client = await open_redis(url)
    store = HistoryStore(client, wait_replicas=1)
    try:
        yield store
    finally:
        await store.close()
        await close_redis(client)


def load_of(store: HistoryStore, run: str) -> Load:
    """Two writers for each user, so that events arrive out of order."""

    async def send(user: str, number: int) -> None:
        try:
            (outcome,) = await store.append([NewEvent(run + user, f"i{number}", number, f"{run}{user}e{number}")])
        except StoreUnavailable as error:
            raise CallFailed(f"events: {_kind(error)}") from error
        assert outcome.status in ("stored", "duplicate"), "late would be a lost event"

    async def read_history(user: str, sent: Callable[[], int], acknowledged: int) -> str:
        try:
            history = await store.read_recent(run + user)
        except StoreUnavailable as error:
            raise CallFailed(f"reads: {_kind(error)}") from error
        assert acknowledged <= history.version <= sent(), "neither older than what was acknowledged nor made up"
        return "store"

    return Load(USERS, send, read_history, writers=2)


async def read_from_the_new_primary(store: HistoryStore, user: str) -> None:
    """Nobody has told the client of it: the old one is away."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while True:
            with suppress(StoreUnavailable):
                assert (await store.read_recent(user)).version
                return
            await asyncio.sleep(0.05)


def _kind(error: StoreUnavailable) -> str:
    return type(error.__cause__).__name__ if error.__cause__ else error.detail.partition(": ")[2].split(" 127.")[0]


async def found(store: HistoryStore, run: str) -> dict[str, list[int]]:
    return {user: [int(e.item_id[1:]) for e in (await store.read_history(run + user)).events] for user in USERS}


def check(figures: dict[str, object]) -> None:
    assert (figures["lost"], figures["duplicated"], figures["out_of_order"]) == (0, 0, 0)
    assert float(str(figures["unavailable_s"])) < BACK_WITHIN_S


async def test_a_cluster_whose_primary_is_killed(cluster: RedisCluster) -> None:
    run = "killed-"
    primary, replica = cluster.find_primary(run + USERS[0]), cluster.find_replica(run + USERS[0])
    async with store_of(cluster.url) as store:
        load = load_of(store, run)

        async def fail_over() -> None:
            await load.wait_for_more(EACH)
            primary.kill()
            await asyncio.to_thread(wait_until, lambda: replica.role() == "master", "the replica is the primary")
            await read_from_the_new_primary(store, run + USERS[0])
            primary.start()  # until it follows, nothing can be acknowledged by a replica
            await load.wait_for_more(EACH)

        await load.run(fail_over)
        check(load.report("cluster, primary killed", await found(store, run)))


async def test_a_cluster_whose_primary_hangs_and_comes_back(cluster: RedisCluster) -> None:
    run = "hanging-"
    primary, replica = cluster.find_primary(run + USERS[0]), cluster.find_replica(run + USERS[0])
    others = [user for user in USERS if cluster.find_primary(run + user) is not primary]
    assert others, "users of more than one node"
    async with store_of(cluster.url) as store:
        load = load_of(store, run)

        async def fail_over() -> None:
            await load.wait_for_more(EACH)
            primary.pause()
            try:
                await asyncio.to_thread(wait_until, lambda: replica.role() == "master", "the replica is the primary")
                await read_from_the_new_primary(store, run + USERS[0])
            finally:
                primary.resume()
            await load.wait_for_more(EACH)

        await load.run(fail_over)
        figures = load.report("cluster, primary hangs", await found(store, run))
        check(figures)
        assert max(load.longest_without[user] for user in others) < max(load.longest_without.values())


async def test_sentinel_with_a_primary_that_hangs_and_comes_back(sentinel: RedisSentinel) -> None:
    primary = sentinel.primary()
    async with store_of(sentinel.url) as store:
        load = load_of(store, "")

        async def fail_over() -> None:
            await load.wait_for_more(EACH)
            primary.pause()
            try:
                await asyncio.to_thread(wait_until, lambda: sentinel.primary() is not primary, "another primary")
                await load.wait_for_more(EACH)
            finally:
                primary.resume()
            await load.wait_for_more(EACH)

        await load.run(fail_over)
        check(load.report("sentinel, primary hangs", await found(store, "")))


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
async def test_the_whole_service_over_http(
    kind: str, request: pytest.FixtureRequest, tiny_artifact: Path, tmp_path: Path
) -> None:
    redis: RedisCluster | RedisSentinel = request.getfixturevalue(kind)
    served = run_service(
        tmp_path,
        "--artifact",
        str(tiny_artifact),
        NEXTUP_REDIS_URL=redis.url,
        NEXTUP_REDIS_WAIT_REPLICAS="1",
        NEXTUP_REQUEST_DEADLINE_MS="5000",
    )
    with served as running:
        async with httpx.AsyncClient(base_url=running.url, timeout=30.0) as http:
            answers: dict[tuple[str, ...], list[str]] = {}
            load = http_load(http, USERS, answers)
            primary = redis.find_primary(USERS[0]) if isinstance(redis, RedisCluster) else redis.primary()

            async def fail_over() -> None:
                await load.wait_for_more(EACH)
                primary.kill()
                await asyncio.to_thread(wait_until, lambda: _replaced(redis, primary.port), "another primary")
                primary.start()
                await load.wait_for_more(EACH)

            await load.run(fail_over)
            histories = {user: await history_of(http, user) for user in USERS}
            check(load.report(f"{kind}, primary killed, over HTTP", histories))
            assert load.requests["reads answered by model"] > len(USERS)
            for history, item_ids in answers.items():
                assert await recommend(http, history=list(history)) == item_ids, "the answer to that very history"
            for user in USERS:
                same = [item_of(number) for number in histories[user]]
                assert await recommend(http, user_id=user) == await recommend(http, history=same)


def _replaced(redis: RedisCluster | RedisSentinel, port: int) -> bool:
    if isinstance(redis, RedisCluster):
        return redis.find_primary(USERS[0]).port != port
    return redis.primary().port != port
