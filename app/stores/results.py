"""Return types of the history store, and how they are decoded from the replies of Redis and history.lua."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

from app.errors import DamagedHistory
from app.stores.entries import (
    EMPTY_ITEMS,
    DecodedItems,
    EventTimes,
    compute_times,
    decode_items_value,
    select_keys,
)
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
    users: int
    """Users with a history, estimated from a sample of the keys."""


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """A history as a model reads it: item keys and times. An unknown user has version 0 and no entries."""

    items: DecodedItems

    def __len__(self) -> int:
        return self.items.retained

    @property
    def version(self) -> int:
        return self.items.version

    @property
    def item_keys(self) -> ItemKeys:
        """(n,) uint64, oldest first; usually a view of the stored value."""
        return select_keys(self.items)

    @property
    def times(self) -> EventTimes:
        """(n,) uint32: event times in seconds."""
        return self.compute_times()

    def compute_times(self) -> EventTimes:
        """Compute `times`, which takes longer than the rest and which not every model reads."""
        return compute_times(self.items)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An event of a history; `item_id` is None if no name of the item is known any more."""

    item_id: str | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class EventHistory:
    """A history with item ids, for API responses."""

    version: int
    events: list[HistoryEntry]


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The outcome of one appended event; `history_version` is the version after it."""

    status: AppendStatus
    history_version: int


EMPTY_HISTORY = StoredHistory(EMPTY_ITEMS)


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
        return StoredHistory(decode_items_value(items_value))


def decode_append_results(version: int, codes: bytes) -> list[AppendResult]:
    """Decode history.lua's reply: the version before the call and one status letter per event."""
    results = []
    for code in codes:
        status = _STATUS[code]
        version += status == "stored"
        results.append(AppendResult(status, version))
    return results
