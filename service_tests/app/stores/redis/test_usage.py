"""Figures of a Redis server: keys, and users estimated from a sample of them."""

from pathlib import Path

import pytest

from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.redis.connect import close_redis, open_redis
from service_tests.support.redis_processes import RedisProcess

pytestmark = [pytest.mark.anyio, pytest.mark.process]

USERS, USERS_WITH_IDS = 300, 100


async def test_users_are_estimated_whether_their_events_have_ids_or_not(tmp_path: Path) -> None:
    server = RedisProcess(tmp_path / "store", {"save": ""})
    client = await open_redis(f"redis://127.0.0.1:{server.port}")
    store = HistoryStore(client)
    try:
        empty = await store.read_usage()
        await store.append(
            [NewEvent(f"u{n}", "unknown", 9_000, "once" if n < USERS_WITH_IDS else None) for n in range(USERS)]
        )
        usage = await store.read_usage()
    finally:
        await store.close()
        await close_redis(client)
        server.stop()
    assert (empty.keys, empty.users) == (0, 0)
    assert usage.keys >= USERS + USERS_WITH_IDS
    assert usage.users == pytest.approx(USERS, rel=0.3)  # 6 standard errors
