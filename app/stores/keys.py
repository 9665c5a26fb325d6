"""Every key that nextup keeps in Redis, with its lifetime and size limits. Does not access Redis.

    n:{user}:items    read by /recommend: item keys and times of the retained events
    n:{user}:seen     identities of events that carried an event_id
    n:{user}:events   whole events of a user who was stored before format 2 and has had no event since
    n:{user}:merges   merges of the user that are not finished (merges.py); absent as a rule
    n:{user}:impressions  when items were shown to the user and clicked (impressions.py); bounded, expires
    n:log             the event log: a stream of all accepted events, which the archiver empties
    n:log:{tag}       the same on a Redis Cluster, one stream per slot
    n:names:{bucket}  ids of items that the catalogue may not know, by item key
    n:rate:{name}     tokens of an API key and the time of their last change; expires when the bucket is full again
    n:shown:{nonce}   what was counted of a recommendation: kinds and item keys; expires after the feedback window
    n:catalogue:{live}:records  what operators say about items (live_items.py), by item id, all in one slot
    n:catalogue:{live}:changes  ids of these items, by the version of their last change
    n:catalogue:{live}:meta     version of the live catalogue, and the epoch that tells a new one from an old one
    n:catalogue:{live}:removed  ids whose records were removed lately, by version; bounded
    n:cooccurrences:{live}:records  items before new items in histories (cooccurrences.py), by item id; bounded
    n:cooccurrences:{live}:changes  ids of these new items, by the version of their last change
    n:cooccurrences:{live}:meta     version and epoch of these, as of the live catalogue
    n:cooccurrences:{live}:new      keys of the listed items that the serving version does not know; bounded
    n:placements:{live}:settings  settings of placements (placements.py), by name; bounded
    n:placements:{live}:stamp     changes with every write of a placement
    n:experiments:{all}:records  experiments and the shadow version (experiments.py), all in one slot
    n:experiments:{all}:token    another random text after every change of a record
    n:experiments:{all}:counts:{name}  what was counted of an experiment or a shadow version; bounded, removed with it
    n:archive:lease   held by the process that moves the event log to the archive

The braces are a Cluster hash tag: all keys of a user and the stream of its events are in one slot, so one script may
change them together.
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import product
from string import ascii_lowercase, digits
from typing import NamedTuple
from urllib.parse import unquote

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from app.stores.errors import InvalidId

ITEMS_PATTERN = "n:{*}:items"
OLD_EVENTS_PATTERN = "n:{*}:events"
LOG_KEY = b"n:log"
LIVE_ITEM_KEYS = tuple(b"n:catalogue:{live}:%b" % part for part in (b"records", b"changes", b"meta", b"removed"))
COOCCURRENCE_KEYS = tuple(b"n:cooccurrences:{live}:%b" % part for part in (b"records", b"changes", b"meta"))
NEW_ITEMS_KEY = b"n:cooccurrences:{live}:new"
PLACEMENT_KEYS = b"n:placements:{live}:settings", b"n:placements:{live}:stamp"
EXPERIMENT_KEYS = tuple(b"n:experiments:{all}:%b" % part for part in (b"records", b"token"))
ARCHIVE_LEASE_KEY = b"n:archive:lease"
DAY_MS = 86_400_000
NAME_BUCKETS = 1024
_GLOB = re.compile(rb"[\[\]*?\\^-]")
"""Characters with a meaning in patterns of Redis."""

TRIMMED_IDS_PER_EVENT = 4
"""Identities of trimmed events that are kept, per event that a history may hold."""


class UserKeys(NamedTuple):
    """The keys of one user."""

    items: bytes
    seen: bytes
    events: bytes

    @property
    def merges(self) -> bytes:
        """The key of merges that are not finished, which exists for milliseconds as a rule."""
        return self.items.removesuffix(b"items") + b"merges"

    @property
    def impressions(self) -> bytes:
        """The key of the marks of items that were shown to the user or clicked."""
        return self.items.removesuffix(b"items") + b"impressions"


class HistoryLimits(NamedTuple):
    """Lifetimes and sizes of a history, in the order of history.lua's ARGV."""

    max_events: int
    lifetime_ms: int
    """0 = the history does not expire."""
    ids_lifetime_ms: int
    max_trimmed_ids: int

    @classmethod
    def from_days(cls, max_events: int, lifetime_days: int, event_id_lifetime_days: int) -> "HistoryLimits":
        return cls(
            max_events, lifetime_days * DAY_MS, event_id_lifetime_days * DAY_MS, max_events * TRIMMED_IDS_PER_EVENT
        )


def build_user_keys(user_id: str) -> UserKeys:
    """Build the keys of a user; InvalidId if the id cannot be part of a key."""
    tag = _escape_tag(user_id)
    return UserKeys(b"n:{%b}:items" % tag, b"n:{%b}:seen" % tag, b"n:{%b}:events" % tag)


def build_items_key(user_id: str) -> bytes:
    """Build only the key that /recommend reads; InvalidId if the id cannot be part of a key."""
    return b"n:{%b}:items" % _escape_tag(user_id)


def build_items_pattern(prefix: str) -> bytes:
    """Build the pattern of the histories of users whose id begins with `prefix`, any of them if it is empty."""
    return b"n:{%b*}:items" % (_GLOB.sub(rb"\\\g<0>", _escape_tag(prefix)) if prefix else b"")


def is_items_key(key: bytes) -> bool:
    """Whether a key is that of a history, of which every user has one."""
    return key.startswith(b"n:{") and key.endswith(b"}:items")


def parse_user_id(key: bytes) -> str:
    """Return the user id of a key that matches ITEMS_PATTERN or OLD_EVENTS_PATTERN."""
    return unquote(key.removeprefix(b"n:{").rpartition(b"}:")[0].decode())


def build_log_key(user_id: str, *, is_cluster: bool) -> bytes:
    """Build the key of the stream that has the events of a user; InvalidId as in `build_user_keys`."""
    return list_log_keys(is_cluster=True)[key_slot(build_items_key(user_id))] if is_cluster else LOG_KEY


@cache
def list_log_keys(*, is_cluster: bool) -> Sequence[bytes]:
    """List the keys of all streams that may exist: one, or on a Cluster one per slot, in the order of the slots."""
    if not is_cluster:
        return (LOG_KEY,)
    keys: dict[int, bytes] = {}
    for characters in product(digits + ascii_lowercase, repeat=4):
        key = b"n:log:{%b}" % "".join(characters).encode()
        keys.setdefault(key_slot(key), key)
        if len(keys) == REDIS_CLUSTER_HASH_SLOTS:
            break
    return tuple(keys[slot] for slot in range(REDIS_CLUSTER_HASH_SLOTS))


def build_names_key(item_key: int) -> bytes:
    """Build the key of the hash that may have the id of an item."""
    return b"n:names:{%d}" % (item_key % NAME_BUCKETS)


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


def build_feedback_key(nonce: bytes) -> bytes:
    """Build the key of the marks of a recommendation."""
    return b"n:shown:{%b}" % nonce.hex().encode()


def build_rate_limit_key(name: str) -> bytes:
    """Build the key of the token bucket of an API key."""
    return b"n:rate:{%b}" % name.encode()


def build_experiment_counts_key(name: str) -> bytes:
    """Build the key of the counts of an experiment, in the slot of EXPERIMENT_KEYS."""
    return b"n:experiments:{all}:counts:%b" % name.encode()
