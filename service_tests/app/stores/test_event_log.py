"""The event log: every accepted event once, in the order of arrival, with what happens to users; bounded."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import StoreUnavailable
from app.settings import Settings
from app.stores.event_log import EventLogLimits
from app.stores.history import HistoryStore
from app.stores.keys import LOG_KEY
from app.stores.log_entries import LogId
from app.stores.records import NewEvent, decode_records, split_records
from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis
from app.users.service import UserService
from service_tests.app.stores.log_entries import read_log

pytestmark = [pytest.mark.anyio, pytest.mark.process]


@pytest.fixture
async def private_client(tmp_path: Path) -> AsyncIterator[RedisClient]:
    with EmbeddedRedis.start(tmp_path) as server:
        client = await open_redis(server.url)
        yield client
        await close_redis(client)


async def test_log_has_stored_and_late_events_of_each_call_and_no_duplicates(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user, store = new_user(), HistoryStore(redis_client, max_events=2)
    first = [NewEvent(user, "b", 20, "e1", "view", "r1"), NewEvent(user, "a", 10), NewEvent(user, "b", 30, "e1")]
    second, late = NewEvent(user, "c", 40), NewEvent(user, "d", 5, type="buy")
    for events in (first, [second], [second], [late], [NewEvent(user, "b", 20, "e1")]):
        await store.append(events)
    assert await read_log(redis_client, user) == [
        {b"r": first[1].record + first[0].record},
        {b"r": second.record},
        {b"r": late.record},
    ]


async def test_erasure_and_merge_are_logged_with_a_common_token(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user, anonymous = new_user(), new_user()
    event = NewEvent(anonymous, "a", 1, "e1")
    await store.append([event])
    await UserService(store).merge(user, anonymous)
    *rows, merge = await read_log(redis_client, anonymous)
    (receive,) = await read_log(redis_client, user)
    token, place = merge[b"t"], merge[b"a"]
    assert rows == [{b"r": event.record}]
    assert merge == {b"c": b"merge", b"w": user.encode(), b"t": token, b"a": place}
    assert LogId.parse(place) > (0, 0)
    assert receive == {b"c": b"receive", b"w": anonymous.encode(), b"t": token}
    assert len(token) >= 16
    await store.erase(user)
    assert (await read_log(redis_client, user))[1:] == [{b"c": b"erase"}]


async def test_erasure_and_merge_of_users_without_history_are_logged_for_the_archive(
    store: HistoryStore, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user, anonymous = new_user(), new_user()
    await store.erase(user)
    await UserService(store).merge(user, anonymous)
    assert [entry[b"c"] for entry in await read_log(redis_client, user)] == [b"erase", b"receive"]
    assert [entry[b"c"] for entry in await read_log(redis_client, anonymous)] == [b"merge"]


async def test_long_call_is_split_into_entries_of_whole_records(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user, store = new_user(), HistoryStore(redis_client, max_events=16_000, wait_s=10.0)
    events = [NewEvent(user, f"{number}" * 25, number, f"e{number}") for number in range(1500)]
    await store.append(events)
    entries = [entry[b"r"] for entry in await read_log(redis_client, user)]
    assert len(entries) > 2
    assert max(map(len, entries)) <= 65_536
    assert [record for entry in entries for record in split_records(entry)] == [event.record for event in events]


async def test_full_log_rejects_events_and_stores_nothing(private_client: RedisClient) -> None:
    store = HistoryStore(private_client, event_log=EventLogLimits("reject", 3))
    for number in range(3):
        await store.append([NewEvent("u", "a", number)])
    before = await store.read_snapshot("u")
    for events in ([NewEvent("u", "b", 9)], [NewEvent("u", "b", -9)], [NewEvent("v", "b", 9)]):
        with pytest.raises(
            StoreUnavailable, match=r"event log holds 3 .*NEXTUP_EVENT_LOG_MAX_ENTRIES.*archiver"
        ) as error:
            await store.append(events)
        assert error.value.retry_after_s == 1.0
    assert await store.read_snapshot("u") == before
    assert (await store.append([NewEvent("u", "a", 2)]))[0].status == "duplicate", "it was acknowledged before"
    assert await store.erase("u") == 1, "an erasure is not refused"
    await private_client.xtrim(LOG_KEY, maxlen=1, approximate=False)
    assert (await store.append([NewEvent("v", "b", 9)]))[0].status == "stored"


async def test_full_log_drops_its_oldest_entries_and_counts_them(private_client: RedisClient) -> None:
    store = HistoryStore(private_client, event_log=EventLogLimits("drop", 300))
    for number in range(1000):
        await store.append([NewEvent("u", "a", number)])
    length = await private_client.xlen(LOG_KEY)
    assert 300 <= length <= 500
    assert store.dropped_log_entries == 1000 - length
    first, *_ = await read_log(private_client, "u")
    assert next(decode_records(first[b"r"])).timestamp_ms == 1000 - length


async def test_disabled_log_writes_no_stream(private_client: RedisClient) -> None:
    store = HistoryStore(private_client, event_log=EventLogLimits("off"))
    await store.append([NewEvent("u", "a", 1), NewEvent("v", "a", 1)])
    await store.append([NewEvent("u", "late", -1), NewEvent("u", "b", 2)])
    await UserService(store).merge("v", "u")
    await store.erase("v")
    assert await private_client.exists(LOG_KEY) == 0


def test_limits_follow_the_settings() -> None:
    assert EventLogLimits.from_settings(Settings()) == EventLogLimits("reject", 1_000_000)
    dropping = Settings(event_log_full="drop-oldest", event_log_max_entries=500)
    assert EventLogLimits.from_settings(dropping) == EventLogLimits("drop", 500)
    assert EventLogLimits.from_settings(Settings(event_log="off")).policy == "off"
    with pytest.raises(ValidationError, match="event_log_max_entries"):
        Settings(event_log_max_entries=1)
