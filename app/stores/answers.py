"""What the history store answers, and how that is read from the bytes that Redis and the script return.

Knows the layout of the `items` value and the letters of history.lua. Does not talk to Redis.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.item_key import ItemKeys
from app.stores.records import ITEMS_HEADER_WORDS, HistoryEvent

Status = Literal["stored", "duplicate", "late"]
_STATUS: dict[int, Status] = {ord("s"): "stored", ord("d"): "duplicate", ord("l"): "late"}


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """What a model reads. An unknown user is version 0 without items."""

    version: int
    item_keys: ItemKeys  # (n,) uint64, oldest first


@dataclass(frozen=True, slots=True)
class UserHistory:
    """What people and dumps read."""

    version: int
    events: list[HistoryEvent]


@dataclass(frozen=True, slots=True)
class Applied:
    status: Status
    history_version: int  # after this event


@dataclass(frozen=True, slots=True)
class Merged:
    stored: int
    history_version: int
    keys_removed: int


UNKNOWN = StoredHistory(0, np.empty(0, dtype="<u8"))


def item_keys_of(items_value: bytes | None) -> bytes:
    """The item keys of the retained events as bytes, 8 for each record of the events value."""
    return stored_history(items_value).item_keys.tobytes()


def stored_history(value: bytes | None) -> StoredHistory:
    if not value:
        return UNKNOWN
    words = np.frombuffer(value, dtype="<u8")
    return StoredHistory(int(words[0]), words[ITEMS_HEADER_WORDS + int(words[1]) :])


def applied(version: int, codes: bytes) -> list[Applied]:
    outcomes = []
    for code in codes:
        status = _STATUS[code]
        version += status == "stored"
        outcomes.append(Applied(status, version))
    return outcomes
