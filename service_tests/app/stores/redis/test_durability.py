"""NEXTUP_DURABILITY=always with any Redis: an event is acknowledged when it is on disk, or the start fails."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.durability import check_durability
from app.stores.redis.servers import list_servers
from service_tests.app.stores.servers import count_calls
from service_tests.support.redis_processes import RedisProcess, wait_for_redis

pytestmark = [pytest.mark.anyio, pytest.mark.process]

ALWAYS = {"appendonly": "yes", "appendfsync": "always", "save": ""}
USER = "ACL SETUSER shop on >pw ~* +@all"


def find_program(*, has_wait: bool) -> str:
    """Find a server with or without WAITAOF on this machine, or skip the test."""
    for server in list_servers():
        if (server.release.name == "valkey" or server.release.version >= (7, 2, 0)) == has_wait:
            return server.path
    pytest.skip(f"needs a server {'with' if has_wait else 'without'} WAITAOF")


@pytest.fixture(params=[True, False], ids=["with WAITAOF", "without WAITAOF"])
def has_wait(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def server(has_wait: bool, tmp_path: Path) -> Iterator[RedisProcess]:
    process = RedisProcess(tmp_path / "redis", ALWAYS, program=find_program(has_wait=has_wait))
    yield process
    process.stop()


@asynccontextmanager
async def open_store(server: RedisProcess, credentials: str = "", replicas: int = 0) -> AsyncIterator[HistoryStore]:
    client = await open_redis(f"redis://{credentials}127.0.0.1:{server.port}", timeout_s=5.0)
    try:
        wait_fsync = await check_durability(client, "always")
        yield HistoryStore(client, wait_fsync=wait_fsync, wait_replicas=replicas, wait_replicas_s=0.2)
    finally:
        await close_redis(client)


def configure(server: RedisProcess, **values: str) -> None:
    with server.connect() as client:
        for name, value in values.items():
            client.config_set(name, value)


async def test_event_is_acknowledged_by_a_server_that_syncs_each_write(server: RedisProcess, has_wait: bool) -> None:
    async with open_store(server) as store:
        assert [result.status for result in await store.append([NewEvent("u", "a", 1)])] == ["stored"]
        assert (await count_calls(store.client, "waitaof") > 1) == has_wait
    server.kill()
    assert server.start()
    async with open_store(server) as store:
        assert (await store.read_recent("u")).version == 1


async def test_everysec_needs_no_check_and_no_wait(server: RedisProcess, has_wait: bool) -> None:
    configure(server, appendonly="no")
    client = await open_redis(f"redis://127.0.0.1:{server.port}")
    assert not await check_durability(client, "everysec")
    await close_redis(client)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("appendonly", "no", "runs with `appendonly no`"), ("appendfsync", "no", "runs with `appendfsync no`")],
)
async def test_start_is_refused_by_a_server_that_does_not_sync(
    server: RedisProcess, name: str, value: str, message: str
) -> None:
    configure(server, **{name: value})
    with pytest.raises(StoreUnavailable, match=f"{message}.*appendfsync always.*NEXTUP_DURABILITY=everysec"):
        async with open_store(server):
            pass


async def test_server_that_syncs_every_second_serves_only_with_waitaof(
    server: RedisProcess, has_wait: bool, caplog: pytest.LogCaptureFixture
) -> None:
    configure(server, appendfsync="everysec")
    if has_wait:
        async with open_store(server):
            assert "NEXTUP_REDIS_TIMEOUT_MS" in caplog.text, "the wait for the next sync is announced"
    else:
        with pytest.raises(StoreUnavailable, match=r"`appendfsync everysec`, and it has no WAITAOF"):
            async with open_store(server):
                pass


@pytest.mark.parametrize(
    ("denied", "with_wait", "without_wait"),
    [
        ("-config", None, "cannot be confirmed: it has no WAITAOF.*CONFIG GET appendfsync fails"),
        ("-waitaof", None, None),
        ("-config -waitaof", "cannot be confirmed: its user may not run WAITAOF", None),
    ],
)
async def test_user_with_few_permissions_starts_only_if_durability_can_be_known(
    server: RedisProcess, has_wait: bool, denied: str, with_wait: str | None, without_wait: str | None
) -> None:
    if not has_wait and "waitaof" in denied:
        pytest.skip("this server does not know the command")
    with server.connect() as client:
        client.execute_command(f"{USER} {denied}")
    error = with_wait if has_wait else without_wait
    if error is None:
        async with open_store(server, "shop:pw@") as store:
            assert (await store.append([NewEvent("u", "a", 1)]))[0].status == "stored"
    else:
        with pytest.raises(StoreUnavailable, match=error):
            async with open_store(server, "shop:pw@"):
                pass


@pytest.mark.parametrize("has_wait", [True], indirect=True)
async def test_event_that_is_not_on_disk_is_not_acknowledged(server: RedisProcess) -> None:
    async with open_store(server) as store:
        configure(server, appendfsync="no")
        for _ in range(2):  # the second time it is a duplicate
            with pytest.raises(StoreUnavailable, match="not acknowledged: not on disk within 200 ms"):
                await store.append([NewEvent("u", "a", 1, "e1")])
        with pytest.raises(StoreUnavailable, match="not on disk"):
            await store.erase("u")
        assert (await store.read_recent("u")).version == 0, "reads do not wait"
        configure(server, appendfsync="always")
        assert (await store.append([NewEvent("u", "a", 1, "e1")]))[0].status == "stored"


@pytest.mark.parametrize("has_wait", [True], indirect=True)
async def test_event_waits_for_the_disk_and_for_replicas(server: RedisProcess, tmp_path: Path) -> None:
    options = {"save": "", "replicaof": f"127.0.0.1 {server.port}"}
    replica = RedisProcess(tmp_path / "replica", options, program=find_program(has_wait=True))
    try:
        wait_for_redis(lambda: replica.is_replica_of(server), "a replica")
        async with open_store(server, replicas=1) as store:
            assert (await store.append([NewEvent("u", "a", 1)]))[0].status == "stored"
            configure(server, appendfsync="no")
            with pytest.raises(StoreUnavailable, match="not on disk"):
                await store.append([NewEvent("u", "b", 2)])
            configure(server, appendfsync="always")
            replica.pause()
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas had it"):
                await store.append([NewEvent("u", "b", 2)])
            replica.resume()
            assert (await store.append([NewEvent("u", "b", 2)]))[0].status == "duplicate"
    finally:
        replica.stop()


async def test_redis_that_is_away_is_asked_by_each_write_or_ends_the_start(tmp_path: Path) -> None:
    client = await open_redis(f"unix://{tmp_path}/none.sock", must_answer=False)
    try:
        assert await check_durability(client, "always", must_answer=False)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await check_durability(client, "always")
    finally:
        await close_redis(client)
