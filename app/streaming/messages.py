"""Messages of a source, and the events that they contain: JSON as one element of `POST /events`.

An event without an `event_id` gets one from the position of its message, so that a message that is delivered again
takes effect once. An event without a time gets that of its message.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

MAX_MESSAGE_BYTES = 65_536
MAX_POSITION_CHARACTERS = 60
MIN_MESSAGE_TIME_MS = 100_000_000_000
"""Smaller numbers would be read as seconds; a message with such a time has none, as with Redis ids such as 1-0."""
ID_HASH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Message:
    """A message with its position, which identifies it in its source."""

    value: bytes | None
    source: str
    """Kind and name of the source, such as `kafka:events`."""
    partition: str
    offset: str
    timestamp_ms: int | None = None
    absence: str = "the message has no value"
    """Reason why there is no value, where there is none."""

    @property
    def derived_event_id(self) -> str:
        """Identity of a message without `event_id`.

        It contains the time, because a topic that was deleted and created again has the same offsets once more. It
        contains a hash of the name, because names may be longer than ids.
        """
        name_hash = blake2b(self.source.encode(), digest_size=ID_HASH_BYTES).hexdigest()
        position = f"{self.partition}:{self.offset}"
        assert len(position) <= MAX_POSITION_CHARACTERS, position
        return f"{name_hash}:{position}:{self.timestamp_ms or 0}"


class PoisonMessage(ValueError):
    """A message that no retry can turn into an event; the text is the reason."""


def parse_message(message: Message) -> Any:
    """Parse the JSON of a message and add identity and time where they are absent; PoisonMessage if it is not JSON.

    The fields are not checked: that is the work of `app/events`.
    """
    if message.value is None:
        raise PoisonMessage(message.absence)
    if len(message.value) > MAX_MESSAGE_BYTES:
        raise PoisonMessage(f"the message has {len(message.value):,} bytes, more than {MAX_MESSAGE_BYTES:,}")
    try:
        event = json.loads(message.value)
    except (ValueError, RecursionError) as error:
        raise PoisonMessage(f"the message is not JSON: {_describe_json_error(error)}") from None
    if not isinstance(event, dict):
        return event
    return event | _find_defaults(event, message)


def _find_defaults(event: Mapping[str, Any], message: Message) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    if event.get("event_id") is None:
        defaults["event_id"] = message.derived_event_id
    if event.get("timestamp") is None and (message.timestamp_ms or 0) >= MIN_MESSAGE_TIME_MS:
        defaults["timestamp"] = message.timestamp_ms
    return defaults


def _describe_json_error(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else "nested too deeply, or a number is too long"
