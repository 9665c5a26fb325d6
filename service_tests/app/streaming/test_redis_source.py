"""A Redis Stream as a source: every entry is delivered until it is acknowledged, by whichever consumer is alive."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis
from app.streaming.messages import Message
from app.streaming.redis_source import TRIMMED, RedisStreamSource
from app.streaming.source import SourceUnavailable
from service_tests.support.redis_cluster import run_redis_cluster
from service_tests.support.redis_processes import RedisProcess, wait_for_redis

pytestmark = pytest.mark.anyio

READ_S = 0.05


@pytest.fixture
def stream() -> str:
    return f"source-{uuid4().hex}"


@pytest.fixture
def add(redis_client: RedisClient, stream: str) -> Callable[..., Any]:
    """Return a function that adds one entry per value."""

    async def add_entries(*values: str) -> None:
        for value in values:
            await redis_client.xadd(stream, {"event": value})

    return add_entries


@asynccontextmanager
async def open_source(url: str, stream: str, **options: Any) -> AsyncIterator[RedisStreamSource]:
    source = RedisStreamSource(url, stream, **{"group": "g", "consumer": "c"} | options)
    try:
        await source.open()
        yield source
    finally:
        await source.close()


def get_values(messages: list[Message]) -> list[str | None]:
    return [None if message.value is None else message.value.decode() for message in messages]


async def test_entries_are_delivered_in_order_and_once_while_the_consumer_runs(
    redis_url: str, stream: str, add: Callable[..., Any]
) -> None:
    await add("a", "b", "c")
    async with open_source(redis_url, stream) as source:
        first = await source.read(2, READ_S)
        second = await source.read(2, READ_S)
        assert get_values(first) + get_values(second) == ["a", "b", "c"]
        assert await source.count_lag() == 3
        await source.acknowledge(first)
        assert await source.count_lag() == 1
        await source.acknowledge(second)
        assert (await source.read(2, READ_S), await source.count_lag()) == ([], 0)
    message = first[0]
    assert (message.source, message.partition) == (f"redis:{stream}", "0")
    assert message.timestamp_ms == int(message.offset.partition("-")[0])


async def test_lag_includes_entries_that_were_not_read(redis_url: str, stream: str, add: Callable[..., Any]) -> None:
    async with open_source(redis_url, stream) as source:
        await add("a", "b", "c")
        assert await source.count_lag() == 3


async def test_restart_reads_its_own_unacknowledged_entries_first(
    redis_url: str, stream: str, add: Callable[..., Any]
) -> None:
    await add("a", "b", "c", "d")
    async with open_source(redis_url, stream) as source:
        (first,) = await source.read(1, READ_S)
        await source.read(2, READ_S)
        await source.acknowledge([first])
    async with open_source(redis_url, stream) as source:
        assert get_values(await source.read(1, READ_S)) == ["b"]
        assert get_values(await source.read(9, READ_S)) == ["c"]
        assert get_values(await source.read(9, READ_S)) == ["d"]


async def test_entries_of_a_consumer_that_ended_are_claimed_after_the_idle_time(
    redis_url: str, stream: str, add: Callable[..., Any]
) -> None:
    await add("a", "b", "c")
    async with open_source(redis_url, stream, consumer="killed") as source:
        await source.read(3, READ_S)
    async with open_source(redis_url, stream, consumer="early", claim_idle_s=60.0) as source:
        assert await source.read(9, READ_S) == []
    async with open_source(redis_url, stream, consumer="alive", claim_idle_s=0.0) as source:
        claimed = [*await source.read(2, READ_S), *await source.read(2, READ_S)]
        assert get_values(claimed) == ["a", "b", "c"]
        await source.acknowledge(claimed)
        assert await source.count_lag() == 0


async def test_two_consumers_share_the_entries(redis_url: str, stream: str, add: Callable[..., Any]) -> None:
    await add(*"abcdef")
    async with (
        open_source(redis_url, stream, consumer="1") as first_source,
        open_source(redis_url, stream, consumer="2") as second_source,
    ):
        values = [get_values(await source.read(3, READ_S)) for source in (first_source, second_source)]
    assert values == [["a", "b", "c"], ["d", "e", "f"]]


async def test_entry_that_was_trimmed_before_it_was_stored_is_reported(
    redis_url: str, redis_client: RedisClient, stream: str, add: Callable[..., Any]
) -> None:
    await add("a", "b", "c")
    async with open_source(redis_url, stream) as source:
        await source.read(2, READ_S)
    await redis_client.xtrim(stream, maxlen=1, approximate=False)
    async with open_source(redis_url, stream) as source:
        lost = await source.read(9, READ_S)
        assert get_values(lost) == [None, None]
        assert {message.absence for message in lost} == {TRIMMED}
        await source.acknowledge(lost)
        assert get_values(await source.read(9, READ_S)) == ["c"]
    async with open_source(redis_url, stream, consumer="other", claim_idle_s=0.0) as source:
        await redis_client.xtrim(stream, maxlen=0, approximate=False)
        assert [message.absence for message in await source.read(9, READ_S)] == [TRIMMED]


async def test_entry_without_the_field_has_no_value(redis_url: str, redis_client: RedisClient, stream: str) -> None:
    await redis_client.xadd(stream, {"other": "x"})
    async with open_source(redis_url, stream, field="data") as source:
        (message,) = await source.read(9, READ_S)
    assert (message.value, message.absence) == (None, "the entry has no field 'data'")


@pytest.mark.parametrize(("start", "values"), [("earliest", ["a", "b"]), ("latest", ["b"])])
async def test_new_group_begins_where_the_option_says(
    start: str, values: list[str], redis_url: str, stream: str, add: Callable[..., Any]
) -> None:
    await add("a")
    async with open_source(redis_url, stream, start=start) as source:
        await add("b")
        assert get_values(await source.read(9, READ_S)) == values


async def test_group_that_is_gone_is_created_again_from_the_first_entry(
    redis_url: str, redis_client: RedisClient, stream: str, add: Callable[..., Any]
) -> None:
    await add("a")
    async with open_source(redis_url, stream, start="latest") as source:
        await redis_client.xgroup_destroy(stream, "g")
        with pytest.raises(SourceUnavailable, match="NOGROUP"):
            await source.read(9, READ_S)
        assert get_values(await source.read(9, READ_S)) == ["a"]


async def test_consumers_without_entries_are_removed_after_a_day_and_others_are_not(
    redis_url: str, redis_client: RedisClient, stream: str, add: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await add("a")
    async with open_source(redis_url, stream, consumer="holds-an-entry") as source:
        await source.read(9, READ_S)
    async with open_source(redis_url, stream, consumer="unused") as source:
        await source.read(9, READ_S)
    await asyncio.sleep(0.05)

    async def list_consumers() -> set[bytes]:
        async with open_source(redis_url, stream, consumer="new"):
            return {each["name"] for each in await redis_client.xinfo_consumers(stream, "g")}

    assert await list_consumers() == {b"holds-an-entry", b"unused"}
    monkeypatch.setattr("app.streaming.redis_source.UNUSED_S", 0.01)
    assert await list_consumers() == {b"holds-an-entry"}


async def test_key_that_is_no_stream_is_a_mistake(redis_url: str, redis_client: RedisClient, stream: str) -> None:
    await redis_client.set(stream, "x")
    with pytest.raises(ValueError, match=f"the key '{stream}' is not a stream; name another --stream"):
        async with open_source(redis_url, stream):
            pass


@pytest.mark.process
async def test_source_that_is_away_is_reported_and_delivers_everything_when_it_is_back(
    stream_server: RedisProcess, stream: str
) -> None:
    url = f"redis://127.0.0.1:{stream_server.port}"
    with stream_server.connect() as client:
        for value in "abc":
            client.xadd(stream, {"event": value})
    async with open_source(url, stream, claim_idle_s=0.1) as source:
        messages = await source.read(2, READ_S)
        stream_server.kill()
        for call in (source.acknowledge(messages), source.read(9, READ_S), source.count_lag()):
            with pytest.raises(SourceUnavailable, match=f"redis:{stream}"):
                await call
        stream_server.start()
        wait_for_redis(lambda: stream_server.read_role() == "master", "the source again")
        await asyncio.sleep(0.2)
        values = get_values(await source.read(9, READ_S)) + get_values(await source.read(9, READ_S))
        assert values == ["a", "b", "c"]


@pytest.mark.process
@pytest.mark.slow
async def test_stream_in_a_cluster_is_read_claimed_and_acknowledged(tmp_path: Path, stream: str) -> None:
    with run_redis_cluster(tmp_path / "cluster", node_timeout_ms=20_000) as cluster:
        client = await open_redis(cluster.url)
        for value in "abc":
            await client.xadd(stream, {"event": value})
        async with open_source(cluster.url, stream, consumer="killed") as source:
            await source.acknowledge(await source.read(1, READ_S))
            await source.read(1, READ_S)
        async with open_source(cluster.url, stream, consumer="alive", claim_idle_s=0.0) as source:
            for value in "bc":
                messages = await source.read(9, READ_S)
                assert get_values(messages) == [value]
                await source.acknowledge(messages)
            assert await source.count_lag() == 0
        await close_redis(client)
