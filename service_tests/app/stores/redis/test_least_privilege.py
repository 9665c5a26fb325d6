"""A Redis user with only the rights of docs/security.md can do all that the service and its commands do."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from app.archive.archiver import Archiver
from app.archive.erasure import erase_user
from app.archive.local_storage import LocalStorage
from app.archive.reader import read_event_log
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.log_streams import LogStreams
from app.stores.rate_limits import SharedBuckets
from app.stores.records import NewEvent
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.durability import check_durability
from app.stores.redis.embedded import EmbeddedRedis

pytestmark = [pytest.mark.process, pytest.mark.anyio]
PAGE = Path(__file__).parents[4] / "docs/security.md"
PASSWORD = "pw"


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server for the user of the page."""
    (rule,) = re.findall(r"^ACL SETUSER nextup (.*)$", PAGE.read_text(), flags=re.MULTILINE)
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis"), durability="always") as server:
        with Redis.from_url(server.url) as admin:
            admin.execute_command(f"ACL SETUSER nextup {rule.replace('PASSWORD', PASSWORD)}")
        yield server.url.replace("unix://", f"unix://nextup:{PASSWORD}@", 1)


async def test_user_of_the_page_can_do_everything_that_nextup_does(server_url: str, tmp_path: Path) -> None:
    client = await open_redis(server_url)
    wait_fsync = await check_durability(client, "always")
    store = HistoryStore.from_settings(client, Settings(), wait_s=10, wait_fsync=wait_fsync)
    streams, storage = LogStreams(client), LocalStorage(tmp_path / "events")
    await store.append([NewEvent("ann", "a", 1, "e"), NewEvent("bob", "b", 2)])
    assert len(await store.read_recent("ann")) == 1
    assert (await store.read_history("ann")).events[0].item_id == "a"
    assert (await store.merges.merge("bob", "ann")).stored == 1
    assert [user async for user in store.iter_users()] == ["ann"]
    assert (await store.read_usage()).keys > 0
    assert (await streams.read_usage()).entries > 0
    assert await SharedBuckets(client, wait_s=10).take("shop", 5, 1) == (1, 0.0)
    archiver = Archiver(streams, storage)
    async with archiver.hold_lease() as lease:
        assert (await archiver.archive(lease)).events == 2
    assert (await erase_user(store, streams, "ann")).keys_removed == 2
    assert (await read_event_log(streams, storage)).events.height == 0
    await store.close()
    await close_redis(client)


@pytest.mark.parametrize("command", ["FLUSHALL", "KEYS *", "CONFIG SET dir /", "GET other", "ACL LIST", "SHUTDOWN"])
def test_user_of_the_page_can_do_nothing_else(command: str, server_url: str) -> None:
    with Redis.from_url(server_url) as client, pytest.raises(NoPermissionError):
        client.execute_command(command)
