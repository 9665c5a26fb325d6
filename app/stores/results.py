"""What the history store answers, and how that is read from the bytes that Redis and the script return.

Knows the letters of history.lua. Does not talk to Redis.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from app.item_key import ItemKeys
from app.stores.entries import NO_ENTRIES, Entries, EventTimes, decode_items_value
from app.stores.records import HistoryEvent

Status = Literal["stored", "duplicate", "late"]
_STATUS: dict[int, Status] = {ord("s"): "stored", ord("d"): "duplicate", ord("l"): "late"}


class StoreUsage(NamedTuple):
    """What the store takes, all primaries together."""

    memory_bytes: int
    startup_bytes: int
    """Of these, what Redis took before it held anything."""
    limit_bytes: int
    """maxmemory; 0 = none."""
    keys: int


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """What a model reads. An unknown user is version 0 without items."""

    version: int
    entries: Entries  # oldest first

    @property
    def item_keys(self) -> ItemKeys:
        """(n,) uint64; a view, as `times` is."""
        return self.entries["key"]

    @property
    def times(self) -> EventTimes:
        """(n,) uint32: when each event was, in seconds."""
        return self.entries["time"]


@dataclass(frozen=True, slots=True)
class EventHistory:
    """What people and dumps read."""

    version: int
    events: list[HistoryEvent]


@dataclass(frozen=True, slots=True)
class AppendResult:
    status: Status
    history_version: int  # after this event


@dataclass(frozen=True, slots=True)
class MergeResult:
    stored: int
    history_version: int
    keys_removed: int


EMPTY_HISTORY = StoredHistory(0, NO_ENTRIES)


def decode_history(items_value: bytes | None) -> StoredHistory:
    return StoredHistory(*decode_items_value(items_value)) if items_value else EMPTY_HISTORY


def decode_append_results(version: int, codes: bytes) -> list[AppendResult]:
    outcomes = []
    for code in codes:
        status = _STATUS[code]
        version += status == "stored"
        outcomes.append(AppendResult(status, version))
    return outcomes
