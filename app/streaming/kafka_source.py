"""Messages from a Kafka topic by a consumer group, through librdkafka (the extra `kafka`).

librdkafka blocks, so all calls run in one thread. Offsets are committed only by `acknowledge`. A partition may move to
another consumer while its messages are in hand: both store them, which has one effect.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from app.runtime.single_thread import SingleThread
from app.streaming.messages import Message
from app.streaming.source import SourceUnavailable

try:
    from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition
except ImportError as error:
    raise ValueError("Kafka needs confluent-kafka; run pip install 'nextup[kafka]'") from error

log = logging.getLogger("nextup")

CONNECT_S = 10.0
CALL_S = 2.0
CLOSE_S = 5.0
NO_TIME = 0
"""Type of the time of a message without one."""

_MOVED = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError._ASSIGNMENT_LOST, KafkaError._NO_OFFSET}
)
"""Errors of a commit for partitions that another consumer has now."""

Result = TypeVar("Result")


class KafkaSource:
    """Implements EventSource for one topic."""

    def __init__(self, topic: str, properties: Mapping[str, str | int | bool]) -> None:
        self.name = f"kafka:{topic}"
        self._topic = topic
        self._properties = properties
        self._thread = SingleThread("kafka")
        self._consumer: Any = None
        self._has_assignment = False
        self._acknowledged: dict[int, int] = {}
        """Next offset by partition, for the partitions whose messages were acknowledged here."""
        self._uncommitted: dict[int, int] = {}
        """Next offsets of assigned partitions whose commit failed, or is about to be tried."""
        self._paused: list[Any] = []
        self._early_messages: list[Any] = []
        """Messages that are not returned yet, among them those that arrived while the store was away."""

    async def open(self) -> None:
        await self._call(self._open)

    def _open(self) -> None:
        try:
            self._consumer = Consumer(dict(self._properties), logger=log)
        except KafkaException as error:
            raise ValueError(f"the properties of Kafka are wrong: {_get_text(error)}; correct --properties") from None
        topic = self._consumer.list_topics(self._topic, timeout=CONNECT_S).topics[self._topic]
        if topic.error is not None:
            raise SourceUnavailable(f"{self.name}: {topic.error.str()}; check --topic")
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assigned, on_revoke=self._on_revoked, on_lost=self._on_revoked
        )

    def _on_assigned(self, _: Any, partitions: Sequence[Any]) -> None:
        self._has_assignment = True
        if partitions:
            log.info("%s: %d more partitions are assigned to this consumer", self.name, len(partitions))

    def _on_revoked(self, _: Any, partitions: Sequence[Any]) -> None:
        """Forget partitions that another consumer has now; it reads from the last committed offset.

        They are resumed first: librdkafka keeps a partition paused until it is resumed, also when it is assigned again.
        """
        revoked = {partition.partition for partition in partitions}
        if paused := [each for each in self._paused if each.partition in revoked]:
            self._consumer.resume(paused)
        self._acknowledged = {at: offset for at, offset in self._acknowledged.items() if at not in revoked}
        self._uncommitted = {at: offset for at, offset in self._uncommitted.items() if at not in revoked}
        self._paused = [each for each in self._paused if each.partition not in revoked]

    async def read(self, max_messages: int, wait_s: float) -> list[Message]:
        return await self._call(lambda: self._read(max_messages, wait_s))

    def _read(self, max_messages: int, wait_s: float) -> list[Message]:
        self._resume()
        if not self._early_messages and (first := self._consumer.poll(wait_s)) is not None:
            self._early_messages.append(first)
        elif not self._early_messages and self._uncommitted:  # no later message may come to commit them
            self._commit()
        # Only what has arrived: with a timeout, `consume` waits for as many as it is asked for.
        more_messages = self._consumer.consume(max_messages - 1, 0) if self._early_messages and max_messages > 1 else []
        raw_messages, self._early_messages = [*self._early_messages, *more_messages], []
        messages = [self._build_message(raw) for raw in raw_messages if raw.error() is None]
        for error in (raw.error() for raw in raw_messages if raw.error() is not None):
            if error.fatal():
                raise ValueError(f"{self.name}: {error.str()}; start the consumer again")
            if not messages:  # otherwise they would be lost
                raise SourceUnavailable(f"{self.name}: {error.str()}")
            log.warning("%s: %s", self.name, error.str())
        return messages

    def _build_message(self, raw: Any) -> Message:
        kind, time_ms = raw.timestamp()
        return Message(
            raw.value(),
            self.name,
            str(raw.partition()),
            str(raw.offset()),
            None if kind == NO_TIME or time_ms < 0 else time_ms,
        )

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        await self._call(lambda: self._acknowledge(messages))

    def _acknowledge(self, messages: Sequence[Message]) -> None:
        """Commit the offsets of the partitions that are still assigned; others are read again by their new consumer."""
        assigned = {partition.partition for partition in self._consumer.assignment()}
        for message in messages:
            partition, offset = int(message.partition), int(message.offset) + 1
            if partition in assigned:
                self._uncommitted[partition] = max(offset, self._uncommitted.get(partition, 0))
        self._commit()

    def _commit(self) -> None:
        """Commit what is stored; a commit during a move of partitions fails, and those that stay are tried again."""
        assigned = {partition.partition for partition in self._consumer.assignment()}
        next_offsets = {at: offset for at, offset in self._uncommitted.items() if at in assigned}
        if not next_offsets:
            return
        offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in next_offsets.items()]
        try:
            results = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() in _MOVED:
                log.info("%s: partitions have moved; their new consumer reads the last messages again", self.name)
                return
            raise
        for partition in results:
            if partition.error is None:
                self._acknowledged[partition.partition] = next_offsets[partition.partition]
                self._uncommitted.pop(partition.partition, None)
            elif partition.error.code() not in _MOVED:
                raise SourceUnavailable(f"{self.name}: offsets are not committed: {partition.error.str()}")

    async def keep_alive(self) -> None:
        await self._call(self._keep_alive)

    def _keep_alive(self) -> None:
        """Poll without receiving messages: a consumer that does not poll is removed from its group."""
        paused = {partition.partition for partition in self._paused}
        if new := [each for each in self._consumer.assignment() if each.partition not in paused]:
            self._consumer.pause(new)
            self._paused += new
        if (raw := self._consumer.poll(0)) is not None and raw.error() is None:
            self._early_messages.append(raw)

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume(self._paused)
            self._paused = []

    async def count_lag(self) -> int | None:
        return await self._call(self._count_lag)

    def _count_lag(self) -> int | None:
        if not self._has_assignment:
            return None
        partitions = self._consumer.assignment()
        unknown = [each for each in partitions if each.partition not in self._acknowledged]
        committed = {each.partition: each.offset for each in self._consumer.committed(unknown, timeout=CALL_S)}
        lag = 0
        for partition in partitions:
            low, high = self._consumer.get_watermark_offsets(partition, timeout=CALL_S)
            offset = self._acknowledged.get(partition.partition, committed.get(partition.partition, OFFSET_INVALID))
            if offset < 0:  # nothing was ever committed
                offset = low if self._properties["auto.offset.reset"] == "earliest" else high
            lag += max(0, high - max(low, offset))
        return lag

    async def close(self) -> None:
        """Leave the group; librdkafka may take longer than `CLOSE_S` without brokers, and is abandoned then."""
        if self._consumer is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._thread.call(self._consumer.close)
        except TimeoutError:
            log.warning("%s does not answer; the group notices the end of this consumer by its timeout", self.name)

    async def _call(self, function: Callable[[], Result]) -> Result:
        try:
            return await self._thread.call(function)
        except KafkaException as error:
            if error.args[0].fatal():
                raise ValueError(f"{self.name}: {_get_text(error)}; start the consumer again") from error
            raise SourceUnavailable(f"{self.name}: {_get_text(error)}") from error


def _get_text(error: KafkaException) -> str:
    return str(error.args[0].str())
