"""The loop of a consumer: stored first, acknowledged last, once in effect, and bounded while the store is away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from app.events.service import EventService
from app.history_types import HistoryTypes
from app.stores.history import HistoryStore
from app.stores.keys import build_user_keys
from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis
from app.streaming.consumer import Consumer
from app.streaming.dead_letters import MIN_FILE_BYTES, DeadLetterFile
from app.streaming.redis_source import RedisStreamSource
from service_tests.support.redis_processes import RedisProcess
from service_tests.support.waiting import wait_until_async

pytestmark = [pytest.mark.anyio, pytest.mark.process]

BATCH = 10
NOW_MS = 1_700_000_000_000


class Stream:
    """The source of one test, and its state as Redis reports it."""

    def __init__(self, client: RedisClient, url: str) -> None:
        self.client, self.url, self.key = client, url, f"stream-{uuid4().hex}"

    async def add(self, *events: Any) -> None:
        """Add the events in one step: a waiting consumer then reads them as one batch."""
        async with self.client.pipeline(transaction=True) as pipeline:
            for event in events:
                pipeline.xadd(self.key, {"event": event if isinstance(event, str) else json.dumps(event)})
            await pipeline.execute()

    async def count_messages(self) -> tuple[int, int]:
        """Count the messages that are read and not acknowledged, and those that are not read, in one step."""
        (group,) = await self.client.xinfo_groups(self.key)
        return int(group["pending"]), int(group["lag"])

    async def count_pending(self) -> int:
        return (await self.count_messages())[0]

    async def wait_until_acknowledged(self) -> None:
        async with asyncio.timeout(20):
            while await self.count_messages() != (0, 0):  # noqa: ASYNC110 - a state of Redis
                await asyncio.sleep(0.02)

    async def deliver_again(self) -> None:
        """Deliver every message again, as after a lost acknowledgement."""
        await self.client.xgroup_setid(self.key, "g", id="0")


@pytest.fixture
def stream(redis_client: RedisClient, redis_url: str) -> Stream:
    return Stream(redis_client, redis_url)


@pytest.fixture
def letters(tmp_path: Path) -> DeadLetterFile:
    return DeadLetterFile(tmp_path / "letters.jsonl", MIN_FILE_BYTES)


@asynccontextmanager
async def run_consumer(
    stream: Stream, events: EventService, letters: DeadLetterFile, **options: Any
) -> AsyncIterator[Consumer]:
    source = RedisStreamSource(stream.url, stream.key, group="g", consumer="c")
    await source.open()
    consumer = Consumer(source, events, letters, **{"batch_size": BATCH, "drain_s": 5.0} | options)
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        consumer.stop()
        await asyncio.wait_for(task, 10)
        await source.close()


@pytest.fixture
def store_server(tmp_path: Path) -> Iterator[RedisProcess]:
    server = RedisProcess(tmp_path / "store", {"appendonly": "yes", "appendfsync": "always", "save": ""})
    yield server
    server.stop()


@pytest.fixture
async def killable(store_server: RedisProcess) -> AsyncIterator[HistoryStore]:
    """A store whose server a test may kill."""
    client = await open_redis(f"redis://127.0.0.1:{store_server.port}", timeout_s=0.3)
    store = HistoryStore(client)
    yield store
    await store.close()
    await close_redis(client)


def make_events(user: str, count: int) -> list[dict[str, Any]]:
    return [{"user_id": user, "item_id": f"i{n}", "timestamp": NOW_MS + n} for n in range(count)]


def read_metric(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, name
    return value


def count_errors(operation: str) -> float:
    return read_metric("nextup_consumer_errors_total", operation=operation)


async def read_items(store: HistoryStore, user: str) -> list[str | None]:
    return [event.item_id for event in (await store.read_history(user)).events]


async def test_messages_that_are_delivered_again_have_one_effect(
    stream: Stream, store: HistoryStore, events: EventService, letters: DeadLetterFile, new_user: Callable[[], str]
) -> None:
    user, items = new_user(), [f"i{n}" for n in range(35)]
    await stream.add(*make_events(user, 35), {"user_id": user, "item_id": "now"})
    async with run_consumer(stream, events, letters) as consumer:
        await stream.wait_until_acknowledged()
        await stream.deliver_again()
        await stream.wait_until_acknowledged()
        await wait_until_async(lambda: consumer.counts["messages"] == 72)
    assert await read_items(store, user) == [*items, "now"]
    assert (consumer.counts["stored"], consumer.counts["duplicate"]) == (36, 36)
    assert not letters.path.exists()


async def test_event_ids_of_messages_identify_their_events(
    stream: Stream, store: HistoryStore, events: EventService, letters: DeadLetterFile, new_user: Callable[[], str]
) -> None:
    user = new_user()
    event = {"user_id": user, "item_id": "a", "event_id": "once"}
    await stream.add(event, event | {"item_id": "b"}, event | {"event_id": "twice"})
    async with run_consumer(stream, events, letters):
        await stream.wait_until_acknowledged()
    assert await read_items(store, user) == ["a", "a"]


async def test_poison_messages_are_put_aside_with_their_reason_and_do_not_stop_others(
    stream: Stream, store: HistoryStore, events: EventService, letters: DeadLetterFile, new_user: Callable[[], str]
) -> None:
    user, damaged_user = new_user(), new_user()
    await store.client.sadd(build_user_keys(damaged_user).items, "x")
    good = {"user_id": user, "item_id": "a", "timestamp": NOW_MS}
    poison = ["{", "[]", {"user_id": user}, good | {"timestamp": "yesterday"}, good | {"user_id": damaged_user}]
    before = read_metric("nextup_consumer_messages_total", result="dead_letter")
    await stream.add(*poison[:3], good, *poison[3:], good | {"item_id": "b"}, good | {"type": "impression"})
    async with run_consumer(stream, events, letters) as consumer:
        await stream.wait_until_acknowledged()
        await wait_until_async(lambda: consumer.counts["messages"] == 8)
    assert await read_items(store, user) == ["a", "b"]
    lines = [json.loads(line) for line in letters.path.read_text().splitlines()]
    assert [line["reason"].split(":")[0] for line in lines] == [
        "the message is not JSON",
        "event",
        "item_id",
        "timestamp",
        "the stored history of this user is damaged",
    ]
    assert [line["value"] for line in lines] == [each if isinstance(each, str) else json.dumps(each) for each in poison]
    assert {line["source"] for line in lines} == {f"redis:{stream.key}"}
    assert (consumer.counts["dead_letters"], consumer.counts["ignored"]) == (5, 1)
    assert read_metric("nextup_consumer_messages_total", result="dead_letter") == before + 5


async def test_nothing_is_lost_and_one_batch_is_in_hand_while_the_store_is_away(
    stream: Stream,
    killable: HistoryStore,
    store_server: RedisProcess,
    letters: DeadLetterFile,
    new_user: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.streaming.consumer.LAG_INTERVAL_S", 0.05)
    user = new_user()
    errors = count_errors("store")
    events = EventService(killable, None, HistoryTypes())
    async with run_consumer(stream, events, letters) as consumer:
        await stream.add(*make_events(user, 5))
        await wait_until_async(lambda: consumer.counts["messages"] == 5)
        store_server.kill()
        await stream.add(*make_events(user, 95)[5:])
        await wait_until_async(lambda: count_errors("store") >= errors + 3, 10)
        pending, unread = await stream.count_messages()
        assert 0 < pending <= BATCH, "read, and not acknowledged"
        assert pending + unread == 90, "backpressure: the rest remains in the source"
        assert consumer.counts["messages"] == 5
        await wait_until_async(lambda: read_metric("nextup_consumer_lag_messages") == 90)
        assert read_metric("nextup_consumer_oldest_message_age_seconds") > 0
        store_server.start()
        await stream.wait_until_acknowledged()
    assert await read_items(killable, user) == [f"i{n}" for n in range(95)]
    assert read_metric("nextup_consumer_oldest_message_age_seconds") == 0


async def test_stop_ends_within_the_drain_time_and_acknowledges_nothing_while_the_store_is_away(
    stream: Stream, killable: HistoryStore, store_server: RedisProcess, letters: DeadLetterFile
) -> None:
    errors = count_errors("store")
    store_server.pause()
    try:
        async with run_consumer(stream, EventService(killable, None, HistoryTypes()), letters, drain_s=1.0) as consumer:
            await stream.add(*make_events("u", 3))
            await wait_until_async(lambda: count_errors("store") > errors, 10)
            started_at = time.monotonic()
            consumer.stop()
        assert time.monotonic() - started_at < 5
    finally:
        store_server.resume()
    assert (await stream.count_pending(), consumer.counts["messages"]) == (3, 0)


async def test_stop_finishes_the_batch_if_the_store_returns_within_the_drain_time(
    stream: Stream, killable: HistoryStore, store_server: RedisProcess, letters: DeadLetterFile
) -> None:
    errors = count_errors("store")
    store_server.pause()
    async with run_consumer(stream, EventService(killable, None, HistoryTypes()), letters, drain_s=8.0) as consumer:
        await stream.add(*make_events("u", 3))
        await wait_until_async(lambda: count_errors("store") > errors, 10)
        consumer.stop()
        store_server.resume()
    assert (await stream.count_messages(), consumer.counts["messages"]) == ((0, 0), 3)
    assert await read_items(killable, "u") == ["i0", "i1", "i2"]


async def test_poison_message_is_not_acknowledged_before_it_is_in_the_file(
    stream: Stream, events: EventService, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.write_text("a file in the place of the folder")
    errors = count_errors("dead_letter")
    letters = DeadLetterFile(folder / "letters.jsonl", MIN_FILE_BYTES)
    async with run_consumer(stream, events, letters):
        await stream.add("{")
        await wait_until_async(lambda: count_errors("dead_letter") > errors)
        assert await stream.count_pending() == 1
        folder.unlink()
        await stream.wait_until_acknowledged()
    assert len(letters.path.read_text().splitlines()) == 1


async def test_idle_consumer_stops_by_itself_when_nothing_waits(
    stream: Stream, events: EventService, letters: DeadLetterFile, new_user: Callable[[], str]
) -> None:
    await stream.add(*make_events(new_user(), 25))
    source = RedisStreamSource(stream.url, stream.key, group="g", consumer="c")
    await source.open()
    consumer = Consumer(source, events, letters, batch_size=BATCH, drain_s=1.0, idle_s=0.2)
    await asyncio.wait_for(consumer.run(), 20)
    await source.close()
    assert consumer.counts["stored"] == 25
