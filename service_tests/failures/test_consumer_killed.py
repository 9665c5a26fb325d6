"""Consumers that are killed or stopped at random moments under load: every message is stored exactly once."""

import json
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from service_tests.support.consumer_process import READY, ConsumerProcess, EventLoad
from service_tests.support.kafka_cluster import PROPERTIES, KafkaCluster, run_kafka_cluster
from service_tests.support.redis_processes import RedisProcess
from service_tests.support.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(400)]

USERS, RATE = 50, 1_000
REDIS_KILLS, KAFKA_KILLS = 4, 2
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
POISON = b'{"user_id": "poison"}'
MAX_EVENTS = {"NEXTUP_HISTORY_MAX_EVENTS": "16000"}
TOPIC = "events"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    """The store, and the source of the Redis Stream."""
    server = RedisProcess(tmp_path / "server", {"save": "", "appendonly": "yes"})
    yield server
    server.stop()


@pytest.fixture
def start_consumer(tmp_path: Path, server: RedisProcess) -> Iterator[Callable[..., ConsumerProcess]]:
    processes: list[ConsumerProcess] = []

    def start(*arguments: str) -> ConsumerProcess:
        variables = MAX_EVENTS | {"NEXTUP_REDIS_URL": f"redis://127.0.0.1:{server.port}"}
        log = tmp_path / f"consumer-{len(processes)}.log"
        processes.append(ConsumerProcess(log, tmp_path / "data", *arguments, **variables))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def end_at_random_moments(start: Callable[[int], ConsumerProcess], kills: int, longest_s: float) -> None:
    """Start and end consumers; each is under load when the signal arrives."""
    numbers = random.Random(11)
    for number in range(kills):
        consumer = start(number)
        consumer.wait_for_line("assigned" if longest_s > 1 else READY)
        time.sleep(numbers.uniform(0, longest_s))
        consumer.end(SIGNALS[number % 2])


def read_dead_letters(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "data" / "dead-letters.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def finish(consumer: ConsumerProcess) -> dict[str, int]:
    """Wait until a consumer has found its source empty, and return its result."""
    consumer.process.wait(120)
    result: dict[str, int] = json.loads(consumer.read_log().splitlines()[-1])
    return result


@pytest.mark.parametrize("renamed", [False, True], ids=["same-consumer", "new-consumer"])
def test_redis_stream_is_stored_once_by_consumers_that_are_killed(
    renamed: bool, server: RedisProcess, start_consumer: Callable[..., ConsumerProcess], tmp_path: Path
) -> None:
    """A consumer with another name claims the messages that the killed one had read."""

    def produce(values: Sequence[bytes]) -> None:
        with server.connect() as client:
            pipeline = client.pipeline(transaction=False)
            for value in values:
                pipeline.xadd("events", {"event": value})
            pipeline.execute()

    def start(number: int, *options: str) -> ConsumerProcess:
        name = f"c{number}" if renamed else "c"
        words = ("redis", "--batch", "100", "--consumer", name, "--claim-idle", "1", *options)
        return start_consumer(*words)

    load = EventLoad(produce, USERS, RATE)
    with load.run():
        produce([POISON])
        end_at_random_moments(start, REDIS_KILLS, 0.8)
    result = finish(start(REDIS_KILLS, "--until-idle", "2.5"))
    load.check_histories(f"redis://127.0.0.1:{server.port}")
    assert load.messages > 1000
    assert result["messages"] > 0, "the last consumer had something left to do"
    assert {(line["value"], line["reason"]) for line in read_dead_letters(tmp_path)} == {
        (POISON.decode(), "item_id: Field required")
    }
    with server.connect() as client:
        assert client.xpending("events", "nextup")["pending"] == 0


@pytest.fixture
def kafka_cluster() -> Iterator[KafkaCluster]:
    with run_kafka_cluster() as cluster:
        yield cluster


@pytest.fixture
def kafka_words(tmp_path: Path, kafka_cluster: KafkaCluster) -> list[str]:
    path = tmp_path / "kafka.properties"
    path.write_text("".join(f"{name}={value}\n" for name, value in PROPERTIES.items()))
    kafka_cluster.create_topic(TOPIC)
    words = ["kafka", "--brokers", kafka_cluster.brokers, "--topic", TOPIC, "--properties", str(path)]
    return [*words, "--batch", "100"]


def test_kafka_topic_is_stored_once_by_consumers_that_are_killed(
    server: RedisProcess,
    kafka_cluster: KafkaCluster,
    kafka_words: list[str],
    start_consumer: Callable[..., ConsumerProcess],
    tmp_path: Path,
) -> None:
    load = EventLoad(lambda values: kafka_cluster.produce(TOPIC, *values), USERS, RATE)
    with load.run():
        kafka_cluster.produce(TOPIC, POISON)
        end_at_random_moments(lambda _: start_consumer(*kafka_words), KAFKA_KILLS, 1.5)
    result = finish(start_consumer(*kafka_words, "--until-idle", "2"))
    load.check_histories(f"redis://127.0.0.1:{server.port}")
    assert result["messages"] > 0
    assert {line["value"] for line in read_dead_letters(tmp_path)} == {POISON.decode()}
    assert sum(kafka_cluster.read_committed(TOPIC, "nextup").values()) == load.messages + 1


def test_partitions_of_a_killed_consumer_move_to_another_and_no_message_is_lost(
    server: RedisProcess,
    kafka_cluster: KafkaCluster,
    kafka_words: list[str],
    start_consumer: Callable[..., ConsumerProcess],
) -> None:
    load = EventLoad(lambda values: kafka_cluster.produce(TOPIC, *values), USERS, 400)
    with load.run():
        survivor = start_consumer(*kafka_words)
        survivor.wait_for_line("assigned")
        victim = start_consumer(*kafka_words)
        victim.wait_for_line("assigned")
        time.sleep(1)
        victim.end(signal.SIGKILL)

    def is_everything_committed() -> bool:
        return sum(kafka_cluster.read_committed(TOPIC, "nextup").values()) == load.messages

    def describe() -> str:
        committed = kafka_cluster.read_committed(TOPIC, "nextup")
        return f"{committed} of {load.messages} messages are committed:\n{survivor.read_log()}"

    wait_until(
        lambda: survivor.read_log().count("assigned") > 1, 60, lambda: f"no partition moves:\n{survivor.read_log()}"
    )
    wait_until(is_everything_committed, 60, describe)
    survivor.end(signal.SIGTERM)
    load.check_histories(f"redis://127.0.0.1:{server.port}")
