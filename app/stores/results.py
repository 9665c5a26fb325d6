"""Return types of the history store, and how they are decoded from the replies of Redis and history.lua."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha1
from typing import Literal, NamedTuple

from app.errors import DamagedHistory
from app.stores.entries import ENTRY_BYTES, NO_ENTRIES, Entries, EventTimes, decode_items_value
from app.stores.records import HistoryEvent, get_retained_records, split_records
from models.catalogue.item_key import ItemKeys

AppendStatus = Literal["stored", "duplicate", "late"]
_STATUS: dict[int, AppendStatus] = {ord("s"): "stored", ord("d"): "duplicate", ord("l"): "late"}


class StoreUsage(NamedTuple):
    """Memory and keys of all primaries together."""

    memory_bytes: int
    startup_bytes: int
    """The part of `memory_bytes` that Redis used before it held any data."""
    limit_bytes: int
    """maxmemory; 0 = none."""
    keys: int


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """A history as a model reads it: item keys and times. An unknown user has version 0 and no entries."""

    version: int
    entries: Entries  # oldest first

    @property
    def item_keys(self) -> ItemKeys:
        """(n,) uint64; a view of `entries`, like `times`."""
        return self.entries["key"]

    @property
    def times(self) -> EventTimes:
        """(n,) uint32: event times in seconds."""
        return self.entries["time"]


@dataclass(frozen=True, slots=True)
class EventHistory:
    """A history with all fields of its events, for API responses and dumps."""

    version: int
    events: list[HistoryEvent]


@dataclass(frozen=True, slots=True)
class HistorySnapshot:
    """The two stored values of a user as raw bytes, read in one atomic step."""

    items: bytes | None
    events: bytes | None

    @property
    def events_sha1(self) -> str:
        """Hash of the `events` value in hex, as erase.lua compares it."""
        return sha1(self.events or b"", usedforsecurity=False).hexdigest()

    def split(self, max_events: int) -> list[tuple[bytes, bytes]]:
        """Split the retained events into (entries, records) of at most `max_events` each.

        DamagedHistory if the two values do not hold the same number of events.
        """
        with report_damage():
            records = split_records(get_retained_records(self.events))
        entries = decode_history(self.items).entries.tobytes()
        if len(entries) != ENTRY_BYTES * len(records):
            raise DamagedHistory.with_reason(f"{len(records)} events, but {len(entries) // ENTRY_BYTES} item entries")
        return [
            (
                entries[ENTRY_BYTES * first : ENTRY_BYTES * (first + max_events)],
                b"".join(records[first : first + max_events]),
            )
            for first in range(0, len(records), max_events)
        ]


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The outcome of one appended event; `history_version` is the version after it."""

    status: AppendStatus
    history_version: int


EMPTY_HISTORY = StoredHistory(0, NO_ENTRIES)


@contextmanager
def report_damage() -> Iterator[None]:
    """Raise DamagedHistory for a value of Redis that cannot be decoded."""
    try:
        yield
    except (struct.error, ValueError, IndexError) as error:
        raise DamagedHistory.with_reason(str(error) or type(error).__name__) from error


def decode_history(items_value: bytes | None) -> StoredHistory:
    """Decode the `items` value; DamagedHistory if it is not one."""
    if not items_value:
        return EMPTY_HISTORY
    with report_damage():
        return StoredHistory(*decode_items_value(items_value))


def decode_append_results(version: int, codes: bytes) -> list[AppendResult]:
    """Decode history.lua's reply: the version before the call and one status letter per event."""
    results = []
    for code in codes:
        status = _STATUS[code]
        version += status == "stored"
        results.append(AppendResult(status, version))
    return results
