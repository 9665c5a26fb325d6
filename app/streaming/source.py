"""The interface of a source of messages: read in batches, and acknowledge what is stored."""

from collections.abc import Sequence
from typing import Protocol

from app.streaming.messages import Message


class SourceUnavailable(ConnectionError):
    """The source does not answer; the text states the cause. Reading or acknowledging again may succeed."""


class EventSource(Protocol):
    """Delivers every message at least once: one that is not acknowledged is delivered again, here or elsewhere.

    All methods may raise SourceUnavailable. One task uses a source; calls do not overlap.
    """

    name: str
    """Kind and name of the source, such as `kafka:events`, without secrets."""

    async def open(self) -> None:
        """Connect and join the group; ValueError if the source can never work as it is configured."""

    async def read(self, max_messages: int, wait_s: float) -> list[Message]:
        """Read up to so many messages; wait at most about `wait_s` for the first."""

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """Confirm that the effect of these messages is stored; they are those of the last read."""

    async def keep_alive(self) -> None:
        """Remain a member of the group while the messages of the last read cannot be stored yet."""

    async def count_lag(self) -> int | None:
        """Count messages that are not acknowledged, among those that this consumer could receive.

        None while that is not known, as before the group has assigned partitions.
        """

    async def close(self) -> None:
        """Leave the group, without acknowledging anything; raises nothing."""
