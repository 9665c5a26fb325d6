"""Every key that nextup keeps in Redis, with its lifetime and size limits. Does not access Redis.

    n:{user}:items    read by /recommend: version, count of leading trimmed entries, item keys and times, oldest first
    n:{user}:events   the events themselves, in event-time order
    n:{user}:seen     identities of trimmed events that carried an event_id

The braces are a Cluster hash tag: all keys of a user are in one slot, so one script may change them together.
"""

from typing import NamedTuple
from urllib.parse import unquote

from app.stores.errors import InvalidId

EVENTS_PATTERN = "n:{*}:events"
DAY_MS = 86_400_000

MAX_TRIMMED_DIVISOR = 8
"""Trimmed events stay in the two values until there are more than max_events // 8 + 1 of them to cut off together."""
TRIMMED_IDS_PER_EVENT = 4
"""Identities of trimmed events that are kept, per event that a history may hold."""


class UserKeys(NamedTuple):
    """The keys of one user, in the order of the scripts' KEYS."""

    items: bytes
    events: bytes
    trimmed_ids: bytes


class HistoryLimits(NamedTuple):
    """Lifetimes and sizes of a history, in the order of history.lua's ARGV."""

    max_events: int
    lifetime_ms: int
    """0 = the history does not expire."""
    trimmed_ids_lifetime_ms: int
    max_trimmed: int
    max_trimmed_ids: int

    @classmethod
    def from_days(cls, max_events: int, lifetime_days: int, event_id_lifetime_days: int) -> "HistoryLimits":
        return cls(
            max_events,
            lifetime_days * DAY_MS,
            event_id_lifetime_days * DAY_MS,
            max_events // MAX_TRIMMED_DIVISOR + 1,
            max_events * TRIMMED_IDS_PER_EVENT,
        )


def build_user_keys(user_id: str) -> UserKeys:
    """Build the keys of a user; InvalidId if the id cannot be part of a key."""
    tag = _escape_tag(user_id)
    return UserKeys(b"n:{%b}:items" % tag, b"n:{%b}:events" % tag, b"n:{%b}:seen" % tag)


def build_items_key(user_id: str) -> bytes:
    """Build only the key that /recommend reads; InvalidId if the id cannot be part of a key."""
    return b"n:{%b}:items" % _escape_tag(user_id)


def parse_user_id(events_key: bytes) -> str:
    """Return the user id of a key that matches EVENTS_PATTERN."""
    return unquote(events_key.removeprefix(b"n:{").removesuffix(b"}:events").decode())


def _escape_tag(user_id: str) -> bytes:
    """Escape `}`, because the first one ends the hash tag, and `%`, the escape character."""
    if not user_id:
        raise InvalidId(
            "user_id must have at least one character"
        )  # Redis ignores an empty tag: the slots would differ
    try:
        return user_id.replace("%", "%25").replace("}", "%7D").encode()
    except UnicodeEncodeError as error:
        raise InvalidId("user_id must be valid Unicode text") from error
