"""What histories take in Redis, from the bytes that are written and from how Redis keeps them.

Two strings per user (app/stores): 12 bytes per event in one, a record per event in the other. Around them stand two
keys, their places in two tables (one for lifetimes), and what an allocator rounds up. Written at once a string is as
long as it is; one that grows by an append at a time is given twice the room whenever it is full. Lengths of histories
are spread evenly around their mean. Layouts are those of Redis 6.2 and 7.0. Not in it: what trimmed events with an
event_id leave behind, which has a lifetime.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from app.capacity import constants as measured
from app.stores.entries import ENTRY_BYTES
from app.stores.keys import build_user_keys
from app.stores.records import EVENTS_HEADER, RECORD

Allocator = Literal["server", "embedded"]
ITEMS_HEADER = 16
OBJECT, ENTRY = 16, 24  # of Redis: an object, a place in a table
EMBEDDED_TEXT = 44  # a string up to here lies in its object
GREEDY = 1 << 20  # below, room is doubled
STEPS = 200
"""Lengths that are looked at."""


@dataclass(frozen=True, slots=True)
class HistoryEstimate:
    """Bytes per user, written at once (`loaded`) and one event at a time (`grown`)."""

    users: int
    loaded: float
    grown: float
    tables: int
    running: int

    @property
    def alone(self) -> int:
        """Of a Redis without users."""
        return self.running + measured.REDIS_STARTUP

    @property
    def total_loaded(self) -> int:
        return round(self.users * self.loaded) + self.tables + self.alone

    @property
    def total_grown(self) -> int:
        return round(self.users * self.grown) + self.tables + self.alone

    def figures(self) -> dict[str, float]:
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
    more: float = 0.0,
    allocator: Allocator = "server",
    spread: bool = True,
) -> HistoryEstimate:
    """`length` events on average; `more` bytes per event beside its item id. ValueError beyond `max_events`."""
    if length > max_events:
        raise ValueError(
            f"--length is {length:,}, but a history holds {max_events:,} events (NEXTUP_HISTORY_MAX_EVENTS); "
            "older ones are trimmed"
        )
    rounded = ALLOCATORS[allocator]
    reach = min(length - 1, max_events - length, length // 2) if spread else 0
    lengths = sorted({length - reach + round(2 * reach * step / STEPS) for step in range(STEPS + 1)})
    keys = sum(rounded(_key_bytes(len(key), user_bytes)) + 2 * rounded(ENTRY) for key in build_user_keys("u")[:2])
    loaded = grown = float(keys)
    record = RECORD.size + id_bytes + more
    for header, event in ((ITEMS_HEADER, float(ENTRY_BYTES)), (EVENTS_HEADER.size, record)):
        loaded += sum(_at_once(header + event * one, rounded) for one in lengths) / len(lengths)
        grown += _grown(header, event, lengths, rounded, trims=length == max_events)
    places = 1 << max(2, (2 * users - 1).bit_length())
    return HistoryEstimate(users, loaded, grown, 2 * 8 * places, measured.REDIS_RUNNING[allocator])


def _key_bytes(shortest: int, user_bytes: float) -> float:
    """Of a key as a string of Redis, by its length for a user of one letter."""
    size = shortest - 1 + user_bytes
    return size + 1 + (1 if size < 32 else 3)


def _head(size: float) -> int:
    """Bytes in front of a string of this length."""
    return 3 if size < 1 << 8 else 5 if size < 1 << 16 else 9


def _at_once(size: float, rounded: Callable[[float], int]) -> int:
    if size <= EMBEDDED_TEXT:
        return rounded(OBJECT + 3 + size + 1)
    return rounded(OBJECT) + rounded(_head(size) + size + 1)


def _grown(header: int, event: float, lengths: Sequence[int], rounded: Callable[[float], int], *, trims: bool) -> float:
    """The mean room of a string that began with one event and then grew by one after the other.

    One that is full and trimmed (`trims`) was rewritten at its length and doubled by the next event.
    """
    size = room = header + event
    bytes_now, wanted = _at_once(size, rounded), set(lengths)
    taken = [bytes_now] if 1 in wanted else []
    for count in range(2, max(lengths) + 1):
        size += event
        if size > room or (trims and count == max(lengths)):
            asked = 2 * size if size < GREEDY else size + GREEDY
            whole = rounded(_head(asked) + asked + 1)
            room = whole - _head(asked) - 1
            bytes_now = rounded(OBJECT) + whole
        if count in wanted:
            taken.append(bytes_now)
    return sum(taken) / len(taken)


def _of_glibc(size: float) -> int:
    """What malloc gives: 16 bytes at a time, 8 of them its own."""
    return max(24, -(-round(size + 8) // 16) * 16 - 8)


def _of_jemalloc(size: float) -> int:
    """Four sizes per doubling, and steps of 16 up to 128."""
    whole = max(1, round(size))
    if whole <= 128:
        return -(-whole // 16) * 16
    step = 1 << ((whole - 1).bit_length() - 3)
    return -(-whole // step) * step


ALLOCATORS: dict[Allocator, Callable[[float], int]] = {"server": _of_jemalloc, "embedded": _of_glibc}
"""A redis-server of its own has jemalloc; the embedded one that comes with pip has glibc's malloc."""


def detect_allocator(server: str) -> Allocator:
    """Which of them a redis-server has, as it says itself; OSError if it does not run."""
    told = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    return "server" if "malloc=jemalloc" in told.stdout else "embedded"
