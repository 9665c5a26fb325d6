"""A Kafka topic as a source: offsets follow acknowledgements, and partitions move between consumers."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.streaming.kafka_properties import build_consumer_properties
from app.streaming.kafka_source import KafkaSource
from app.streaming.messages import Message
from app.streaming.source import SourceUnavailable
from service_tests.support.kafka_cluster import JOIN_S, PROPERTIES, KafkaCluster

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

READ_S = 0.2


@pytest.fixture
def topic() -> str:
    return f"source-{uuid4().hex}"


@asynccontextmanager
async def open_source(cluster: KafkaCluster, topic: str, start: str = "earliest") -> AsyncIterator[KafkaSource]:
    source = KafkaSource(topic, build_consumer_properties(cluster.brokers, "g", start, PROPERTIES))
    try:
        await source.open()
        yield source
    finally:
        await source.close()


class RebalancingConsumer:
    """A consumer of librdkafka whose first commit the broker refuses, as during a rebalance."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.failures = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def commit(self, **options: Any) -> Any:
        if not self.failures:
            self.failures += 1
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
        return self._consumer.commit(**options)


async def read_all(source: KafkaSource, count: int) -> list[Message]:
    """Read until so many messages have arrived."""
    messages: list[Message] = []
    deadline = time.monotonic() + JOIN_S
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} of {count} messages"
        messages += await source.read(100, READ_S)
    return messages


def get_values(messages: list[Message]) -> set[bytes | None]:
    return {message.value for message in messages}


async def test_offsets_are_committed_by_acknowledge_only(kafka: KafkaCluster, topic: str) -> None:
    kafka.create_topic(topic)
    kafka.produce(topic, b"a", b"b", None, partition=1, timestamp=1_700_000_000_123)
    kafka.produce(topic, b"c", partition=2)
    async with open_source(kafka, topic) as source:
        messages = await read_all(source, 4)
        assert await source.count_lag() == 4
    assert kafka.read_committed(topic, "g") == {}, "closing commits nothing"
    async with open_source(kafka, topic) as source:
        repeated = await read_all(source, 4)
        assert sorted(map(str, repeated)) == sorted(map(str, messages))
        await source.acknowledge([each for each in repeated if each.partition == "1"])
        assert kafka.read_committed(topic, "g") == {1: 3}
        assert await source.count_lag() == 1
    (second,) = [message for message in messages if message.value == b"b"]
    assert (second.source, second.partition, second.offset) == (f"kafka:{topic}", "1", "1")
    assert second.timestamp_ms == 1_700_000_000_123


async def test_partitions_move_to_a_second_consumer_and_back_without_loss(kafka: KafkaCluster, topic: str) -> None:
    partitions = range(kafka.create_topic(topic))

    def produce(label: str) -> set[bytes]:
        values = {f"{label}-{partition}".encode() for partition in partitions}
        for partition in partitions:
            kafka.produce(topic, f"{label}-{partition}".encode(), partition=partition)
        return values

    async with AsyncExitStack() as stack:
        first_source = await stack.enter_async_context(open_source(kafka, topic))
        values = produce("alone")
        assert get_values(await read_all(first_source, len(partitions))) == values, "and none is acknowledged"
        second_stack = await stack.enter_async_context(AsyncExitStack())
        second_source = await second_stack.enter_async_context(open_source(kafka, topic))
        deadline, second_messages = time.monotonic() + 2 * JOIN_S, list[Message]()
        while not second_messages:
            assert time.monotonic() < deadline, "the second consumer gets no partition"
            await first_source.read(100, READ_S)
            second_messages = await second_source.read(100, READ_S)
        moved = {message.partition for message in second_messages}
        assert 0 < len(moved) < len(partitions)
        assert get_values(second_messages) <= values, "messages that were not acknowledged are delivered again"
        await second_source.acknowledge(second_messages)
        await second_stack.aclose()
        values = produce("after")
        messages: list[Message] = []
        while not values <= get_values(messages):
            assert time.monotonic() < deadline + JOIN_S, get_values(messages)
            messages += await first_source.read(100, READ_S)
        acknowledged_values = {message.value for message in second_messages}
        assert not acknowledged_values & get_values(messages), "acknowledged by the second consumer"


async def test_acknowledging_partitions_that_have_moved_does_not_commit_them(kafka: KafkaCluster, topic: str) -> None:
    kafka.create_topic(topic)
    kafka.produce(topic, b"a", partition=0)
    async with open_source(kafka, topic) as source:
        (message,) = await read_all(source, 1)
        await source.acknowledge([Message(b"x", source.name, "9", "500")])
        assert kafka.read_committed(topic, "g") == {}
        await source.acknowledge([message])
        assert kafka.read_committed(topic, "g") == {0: 1}


async def test_commit_that_fails_during_a_rebalance_is_repeated_for_partitions_that_stay(
    kafka: KafkaCluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.create_topic(topic)
    kafka.produce(topic, b"a", b"b", partition=1)
    async with open_source(kafka, topic) as source:
        messages = await read_all(source, 2)
        consumer = RebalancingConsumer(source._consumer)
        monkeypatch.setattr(source, "_consumer", consumer)
        await source.acknowledge(messages)
        assert (consumer.failures, kafka.read_committed(topic, "g")) == (1, {})
        assert await source.read(100, READ_S) == [], "no message is read again"
        assert kafka.read_committed(topic, "g") == {1: 2}
        monkeypatch.undo()


async def test_no_message_is_lost_while_the_consumer_waits_and_stays_in_the_group(
    kafka: KafkaCluster, topic: str
) -> None:
    kafka.create_topic(topic)
    kafka.produce(topic, b"first", partition=0)
    async with open_source(kafka, topic) as source:
        messages = await read_all(source, 1)
        kafka.produce(topic, *(b"%d" % number for number in range(50)), partition=0)
        for _ in range(20):
            await source.keep_alive()
        kafka.produce(topic, b"last", partition=0)
        messages += await read_all(source, 51)
    values = [message.value for message in messages]
    assert values == [b"first", *(b"%d" % number for number in range(50)), b"last"], "in order, once each"


async def test_partitions_that_move_away_during_a_retry_are_read_again_when_they_come_back(
    kafka: KafkaCluster, topic: str
) -> None:
    partitions = range(kafka.create_topic(topic))
    async with AsyncExitStack() as stack:
        first_source = await stack.enter_async_context(open_source(kafka, topic))
        kafka.produce(topic, b"first", partition=0)
        await read_all(first_source, 1)
        second_stack = await stack.enter_async_context(AsyncExitStack())
        second_source = await second_stack.enter_async_context(open_source(kafka, topic))
        deadline = time.monotonic() + 2 * JOIN_S
        while not await second_source.count_lag():  # it has a partition with a message
            assert time.monotonic() < deadline, "no partition moves"
            await first_source.keep_alive()  # the store is away
            await second_source.read(100, 0.1)
            kafka.produce(topic, b"more", partition=0)
            kafka.produce(topic, b"more", partition=3)
        await second_stack.aclose()
        for partition in partitions:
            kafka.produce(topic, b"after-%d" % partition, partition=partition)
        values, deadline = set[bytes | None](), time.monotonic() + 2 * JOIN_S
        while not {b"after-%d" % partition for partition in partitions} <= values:
            assert time.monotonic() < deadline, values
            values |= get_values(await first_source.read(100, READ_S))


async def test_new_group_may_begin_with_the_next_message(kafka: KafkaCluster, topic: str) -> None:
    kafka.create_topic(topic)
    kafka.produce(topic, b"before", partition=0)
    async with open_source(kafka, topic, "latest") as source:
        deadline = time.monotonic() + JOIN_S
        while await source.count_lag() is None:
            assert time.monotonic() < deadline
            assert await source.read(9, READ_S) == []
        assert await source.count_lag() == 0
        await source.read(9, 1.0)
        kafka.produce(topic, b"after", partition=0)
        assert get_values(await read_all(source, 1)) == {b"after"}


async def test_brokers_that_are_away_are_reported() -> None:
    source = KafkaSource("events", build_consumer_properties("127.0.0.1:1", "g", "earliest", {"log_level": "0"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.streaming.kafka_source.CONNECT_S", 0.5)
        with pytest.raises(SourceUnavailable, match="kafka:events: "):
            await source.open()
    started_at = time.monotonic()
    await source.close()
    assert time.monotonic() - started_at < 6


async def test_wrong_property_is_a_mistake() -> None:
    properties = build_consumer_properties("127.0.0.1:1", "g", "earliest", {"no.such.property": "s3cret"})
    with pytest.raises(ValueError, match=r"no\.such\.property.*; correct --properties") as caught:
        await KafkaSource("events", properties).open()
    assert "s3cret" not in str(caught.value)
