"""Redis memory of histories, computed from the bytes written and from Redis's memory layout.

A user has two strings (app/stores): 12 bytes per event in one, a record per event in the other. Overhead is two keys,
their entries in two hash tables (one for expiry), and allocator rounding. A string written in one piece has its exact
size; one that grows by appends doubles its capacity whenever it is full. History lengths are uniform around their mean.
Layouts are those of Redis 6.2 and 7.0. Ids of trimmed events with an event_id, which expire, are not included.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from app.capacity import constants
from app.stores.entries import ENTRY_BYTES
from app.stores.keys import build_user_keys
from app.stores.records import EVENTS_HEADER, RECORD

Allocator = Literal["server", "embedded"]
ITEMS_HEADER = 16
OBJECT_BYTES, ENTRY_OVERHEAD = 16, 24  # of Redis: an object, a hash table entry
MAX_EMBEDDED = 44  # longest string that is stored inside its object
MAX_DOUBLING = 1 << 20  # capacity doubles below this size
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
    id_bytes: float,
    user_bytes: float,
    max_events: int,
    extra_bytes: float = 0.0,
    allocator: Allocator = "server",
    spread: bool = True,
) -> HistoryEstimate:
    """Estimate histories of `length` events on average, with `extra_bytes` per event in addition to its item id.

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
    keys = sum(
        allocate(_compute_key_bytes(len(key), user_bytes)) + 2 * allocate(ENTRY_OVERHEAD)
        for key in build_user_keys("u")[:2]
    )
    loaded = grown = float(keys)
    record = RECORD.size + id_bytes + extra_bytes
    for header, event in ((ITEMS_HEADER, float(ENTRY_BYTES)), (EVENTS_HEADER.size, record)):
        loaded += sum(_compute_string_bytes(header + event * count, allocate) for count in lengths) / len(lengths)
        grown += _compute_grown_bytes(header, event, lengths, allocate, trims=length == max_events)
    buckets = 1 << max(2, (2 * users - 1).bit_length())
    return HistoryEstimate(users, loaded, grown, 2 * POINTER_BYTES * buckets, constants.REDIS_RUNNING[allocator])


def _compute_key_bytes(one_letter_length: int, user_bytes: float) -> float:
    """Compute the size of a key as a Redis string, from its length for a user id of one letter."""
    size = one_letter_length - 1 + user_bytes
    return size + 1 + (1 if size < 32 else 3)


def _compute_header_bytes(size: float) -> int:
    """Return the bytes of the header of a string of this length."""
    return 3 if size < 1 << 8 else 5 if size < 1 << 16 else 9


def _compute_string_bytes(size: float, allocate: Callable[[float], int]) -> int:
    """Compute the allocated size of a string written in one piece."""
    if size <= MAX_EMBEDDED:
        return allocate(OBJECT_BYTES + 3 + size + 1)
    return allocate(OBJECT_BYTES) + allocate(_compute_header_bytes(size) + size + 1)


def _compute_grown_bytes(
    header: int, event: float, lengths: Sequence[int], allocate: Callable[[float], int], *, trims: bool
) -> float:
    """Compute the mean allocated size of strings that start with one event and grow by one event at a time.

    With `trims`, a full string was rewritten at its exact size and doubled by the next event.
    """
    size = capacity = header + event
    allocated, counts = _compute_string_bytes(size, allocate), set(lengths)
    sizes = [allocated] if 1 in counts else []
    for count in range(2, max(lengths) + 1):
        size += event
        if size > capacity or (trims and count == max(lengths)):
            requested = 2 * size if size < MAX_DOUBLING else size + MAX_DOUBLING
            string_header = _compute_header_bytes(requested)
            string_bytes = allocate(string_header + requested + 1)
            capacity = string_bytes - string_header - 1
            allocated = allocate(OBJECT_BYTES) + string_bytes
        if count in counts:
            sizes.append(allocated)
    return sum(sizes) / len(sizes)


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
