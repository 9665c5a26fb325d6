"""Every key that nextup keeps in Redis, by name, and how long it lives. Nothing here talks to Redis.

    n:{user}:items    what /recommend reads: version, count of leading dead entries, item keys and times, oldest first
    n:{user}:events   the events themselves, in event-time order
    n:{user}:seen     identities of trimmed events that carried an event_id

The braces are a Cluster hash tag: all keys of a user lie in one slot, so one script may change them together.
"""

from typing import NamedTuple
from urllib.parse import unquote

from app.errors import InvalidRequest

EVENTS_PATTERN = "n:{*}:events"
DAY_MS = 86_400_000
SEEN_PER_EVENT = 4  # identities of trimmed events that are remembered, per event that a history may hold


class UserKeys(NamedTuple):
    items: bytes
    events: bytes
    seen: bytes


def build_user_keys(user_id: str) -> UserKeys:
    """The keys of one user, in the order in which the scripts take them."""
    tag = _tag(user_id)
    return UserKeys(b"n:{%b}:items" % tag, b"n:{%b}:events" % tag, b"n:{%b}:seen" % tag)


def build_items_key(user_id: str) -> bytes:
    return b"n:{%b}:items" % _tag(user_id)


def parse_user_id(events_key: bytes) -> str:
    """The user behind a key that EVENTS_PATTERN found."""
    return unquote(events_key.removeprefix(b"n:{").removesuffix(b"}:events").decode())


def _tag(user_id: str) -> bytes:
    """The user id with `}` escaped, as the first one ends the hash tag, and with `%`, which escapes."""
    if not user_id:
        raise InvalidRequest("a user id has at least one character")  # an empty tag would spread the keys over slots
    try:
        return user_id.replace("%", "%25").replace("}", "%7D").encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("a user id is valid Unicode text") from error
