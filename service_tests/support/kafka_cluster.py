"""A Kafka cluster for tests: the mock brokers of librdkafka, which other processes reach over loopback.

Their log is in memory and at most 5 MB per partition. A group needs 3 s for its first assignment, so its members must
have longer session timeouts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

PROPERTIES = {"session.timeout.ms": "4000", "heartbeat.interval.ms": "500"}
JOIN_S = 20.0
TIMEOUT_S = 10.0


class KafkaCluster:
    """Brokers that end with this object; a topic is created with four partitions when it is first used."""

    def __init__(self) -> None:
        self._producer = Producer({"test.mock.num.brokers": 1, "linger.ms": 2, "log_level": 3})
        brokers = self._producer.list_topics(timeout=TIMEOUT_S).brokers.values()
        self.brokers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create_topic(self, topic: str) -> int:
        """Create a topic and return the number of its partitions."""
        return len(self._producer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)

    def produce(self, topic: str, *values: bytes | None, **options: Any) -> None:
        """Produce messages and wait until the brokers have them."""
        for value in values:
            self._producer.produce(topic, value, **options)
            self._producer.poll(0)
        assert self._producer.flush(TIMEOUT_S) == 0

    def read_committed(self, topic: str, group: str) -> dict[int, int]:
        """Read the next offset per partition that a group has committed, for partitions that have one."""
        partitions = [TopicPartition(topic, number) for number in range(self.create_topic(topic))]
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": group})
        try:
            committed = consumer.committed(partitions, timeout=TIMEOUT_S)
        finally:
            consumer.close()
        return {each.partition: each.offset for each in committed if each.offset >= 0}


@contextmanager
def run_kafka_cluster() -> Iterator[KafkaCluster]:
    yield KafkaCluster()


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    with run_kafka_cluster() as cluster:
        yield cluster
