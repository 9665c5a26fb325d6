"""On a Redis Cluster the log has one stream per slot; the archive joins them."""

from collections.abc import Iterator

import pytest

from app.archive.archiver import Archiver
from app.archive.compaction import Compaction
from app.archive.erasure import erase_user
from app.archive.local_storage import LocalStorage
from app.archive.reader import read_event_log
from app.stores.history import HistoryStore
from app.stores.log_streams import LogStreams
from app.stores.records import NewEvent
from app.stores.redis.connect import close_redis, open_redis
from app.users.service import UserService
from service_tests.support.redis_cluster import RedisCluster, run_redis_cluster

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with run_redis_cluster(tmp_path_factory.mktemp("cluster"), node_timeout_ms=20_000) as cluster:
        yield cluster


async def test_streams_of_all_slots_are_archived_and_merges_cross_them(
    cluster: RedisCluster, storage: LocalStorage
) -> None:
    client = await open_redis(cluster.url, timeout_s=10.0)
    store, streams = HistoryStore(client, wait_s=10.0), LogStreams(client)
    archiver = Archiver(streams, storage)
    users = [f"u{number}" for number in range(40)]
    try:
        await store.append([NewEvent(user, "i1", 1, type="view") for user in users])
        assert len(await streams.read_lengths()) > 30
        async with archiver.hold_lease() as lease:
            result = await archiver.archive(lease)
        assert (result.events, result.files) == (40, 1)
        assert (await streams.read_usage()).entries == 0
        await UserService(store).merge("u0", "u1")
        await store.append([NewEvent("u2", "i2", 2)])
        erasure = await erase_user(store, streams, "u2")
        assert (erasure.keys_removed, erasure.log_entries_removed) == (1, 1)
        expected = sorted([("u0", "i1"), *((user, "i1") for user in users[3:])])
        for _ in range(2):
            events = (await read_event_log(streams, storage)).events
            assert sorted(events.select("user_id", "item_id").rows()) == expected
            async with archiver.hold_lease() as lease:
                await archiver.archive(lease)
                await Compaction(storage).compact(lease)
        archived_users = {row[0] for file in storage.list_files() for row in storage.read(file).rows()}
        assert archived_users == {"u0", *users[3:]}
    finally:
        await store.close()
        await close_redis(client)
