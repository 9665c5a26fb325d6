"""Redis memory of histories, computed from the bytes written and from Redis's memory layout.

A user has one string (app/stores): a header and 12 bytes per event, and a second one with 5 bytes per event if events
carry an event_id. Both have room for more events, up to the size class of jemalloc. Overhead is a key, its entries in
two hash tables (one for expiry), and allocator rounding. History lengths are uniform around their mean. Layouts are
those of Redis 6.2 and 7.0. Not included: the event log, ids of trimmed events, names of items.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from app.capacity import constants
from app.stores.entries import HEADER, SLOT_BYTES
from app.stores.keys import build_user_keys
from app.stores.snapshot import SEEN_FORMAT, SHORT_ID_BYTES

Allocator = Literal["server", "embedded"]
OBJECT_BYTES, ENTRY_OVERHEAD = 16, 24  # of Redis: an object, a hash table entry
MAX_EMBEDDED = 44  # longest string that is stored inside its object
STEPS = 200
"""Number of history lengths that are evaluated."""
POINTER_BYTES = 8


@dataclass(frozen=True, slots=True)
class HistoryEstimate:
    """Bytes per user, written in one piece (`loaded`) or one event at a time (`grown`)."""

    users: int
    loaded: float
    grown: float
    tables: int
    running: int

    @property
    def without_users(self) -> int:
        """Bytes of a Redis without users."""
        return self.running + constants.REDIS_STARTUP

    @property
    def total_loaded(self) -> int:
        return round(self.users * self.loaded) + self.tables + self.without_users

    @property
    def total_grown(self) -> int:
        return round(self.users * self.grown) + self.tables + self.without_users

    def to_dict(self) -> dict[str, float]:
        return {
            **asdict(self),
            "loaded": round(self.loaded, 1),
            "grown": round(self.grown, 1),
            "total_loaded": self.total_loaded,
            "total_grown": self.total_grown,
        }


def estimate_histories(
    users: int,
    length: int,
    *,
    user_bytes: float,
    max_events: int,
    event_ids: bool = False,
    allocator: Allocator = "server",
    spread: bool = True,
) -> HistoryEstimate:
    """Estimate histories of `length` events on average; with `event_ids` all events carry one that still counts.

    ValueError if `length` exceeds `max_events`. With `spread` lengths are uniform around the mean.
    """
    if length > max_events:
        raise ValueError(
            f"--length must be at most {max_events:,} events per history (got {length:,}); older events are trimmed, "
            "see NEXTUP_HISTORY_MAX_EVENTS"
        )
    allocate = ALLOCATORS[allocator]
    deviation = min(length - 1, max_events - length, length // 2) if spread else 0
    lengths = sorted({length - deviation + round(2 * deviation * step / STEPS) for step in range(STEPS + 1)})
    keys, loaded, grown = build_user_keys("u"), 0.0, 0.0
    values = [(keys.items, HEADER.size, SLOT_BYTES)]
    if event_ids:
        values.append((keys.seen, len(SEEN_FORMAT), SHORT_ID_BYTES))
    for key, header, width in values:
        key_bytes = allocate(_compute_key_bytes(len(key), user_bytes)) + 2 * allocate(ENTRY_OVERHEAD)
        spare = max_events // 16 if length == max_events and key == keys.items else 2
        loaded += key_bytes + _compute_mean_bytes(
            header, width, [plan_capacity(header, width, count, spare) for count in lengths], allocate
        )
        grown += key_bytes + _compute_mean_bytes(header, width, _grow(header, width, lengths, spare), allocate)
    buckets = len(values) * (1 << max(2, (users - 1).bit_length()))
    return HistoryEstimate(users, loaded, grown, 2 * POINTER_BYTES * buckets, constants.REDIS_RUNNING[allocator])


def plan_capacity(header: int, width: int, count: int, spare: int = 2) -> int:
    """Compute the places of a value that is written with `count` events, as history_values.lua does."""
    size = header + width * (count + max(2, spare))
    overhead = 6 if size < 65_000 else 10
    return (_round_jemalloc(size + overhead) - overhead - header) // width


def _grow(header: int, width: int, lengths: Sequence[int], spare: int) -> list[int]:
    """Compute the places of values that grew by one event at a time to these lengths, which ascend."""
    capacity, count, room = 0, 0, []
    for length in lengths:
        while count < length:
            count += 1
            if count > capacity:
                capacity = plan_capacity(header, width, count, spare if length == lengths[-1] else 2)
        room.append(capacity)
    return room


def _compute_mean_bytes(header: int, width: int, room: Sequence[int], allocate: Callable[[float], int]) -> float:
    return sum(_compute_string_bytes(header + width * places, allocate) for places in room) / len(room)


def _compute_key_bytes(one_letter_length: int, user_bytes: float) -> float:
    """Compute the size of a key as a Redis string, from its length for a user id of one letter."""
    size = one_letter_length - 1 + user_bytes
    return size + 1 + (1 if size < 32 else 3)


def compute_text_bytes(size: float, allocate: Callable[[float], int]) -> int:
    """Compute the allocated size of a text inside a hash or a sorted set, which has no object of its own."""
    return allocate((1 if size < 32 else _compute_header_bytes(size)) + size + 1)


def _compute_header_bytes(size: float) -> int:
    """Return the bytes of the header of a string of this length."""
    return 3 if size < 1 << 8 else 5 if size < 1 << 16 else 9


def _compute_string_bytes(size: float, allocate: Callable[[float], int]) -> int:
    """Compute the allocated size of a string written in one piece."""
    if size <= MAX_EMBEDDED:
        return allocate(OBJECT_BYTES + 3 + size + 1)
    return allocate(OBJECT_BYTES) + allocate(_compute_header_bytes(size) + size + 1)


def _round_glibc(size: float) -> int:
    """Round like glibc malloc: multiples of 16 bytes, 8 of which are its header."""
    return max(24, -(-round(size + 8) // 16) * 16 - 8)


def _round_jemalloc(size: float) -> int:
    """Round like jemalloc: four size classes per doubling, and steps of 16 up to 128."""
    whole = max(1, round(size))
    if whole <= 128:
        return -(-whole // 16) * 16
    step = 1 << ((whole - 1).bit_length() - 3)
    return -(-whole // step) * step


ALLOCATORS: dict[Allocator, Callable[[float], int]] = {"server": _round_jemalloc, "embedded": _round_glibc}
"""A packaged redis-server uses jemalloc; the embedded one from the pip wheel uses glibc malloc."""


def detect_allocator(server: str) -> Allocator:
    """Detect the allocator from `redis-server --version`; OSError if it does not run."""
    version = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    return "server" if "malloc=jemalloc" in version.stdout else "embedded"
