"""What a model reads of the events of a user: the layout of the `items` value.

    items = version u64 | leading dead entries u32 | bytes of an entry u32 | entries, oldest first
    entry = item key 8 bytes | Unix time u32, in seconds, clipped

Numbers are little endian. Twelve bytes without a gap, so that a value is one structured array and needs no loop. The
header says how large an entry is: a value that says otherwise was written by another version and holds nothing here.
It knows no Redis and no record.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.item_key import item_key

Entries = NDArray[np.void]
"""(n,) with the fields `key` and `time`."""
EventTimes = NDArray[np.uint32]
"""(n,) Unix times in seconds."""

ENTRY: np.dtype[Any] = np.dtype([("key", "<u8"), ("time", "<u4")])
ENTRY_BYTES = ENTRY.itemsize
MAX_TIME_S = 2**32 - 1
_HEADER = struct.Struct("<QII")
_ENTRY = struct.Struct("<8sI")
NO_ENTRIES: Entries = np.empty(0, dtype=ENTRY)


def encode_entry(item_id: str, timestamp_ms: int) -> bytes:
    """The entry of an event."""
    return _ENTRY.pack(item_key(item_id), min(max(timestamp_ms // 1000, 0), MAX_TIME_S))


def decode_items_value(items_value: bytes) -> tuple[int, Entries]:
    """The version, and the entries of the retained events: without those that are trimmed but not yet cut off."""
    version, dead, size = _HEADER.unpack_from(items_value)
    if size != ENTRY_BYTES:
        return version, NO_ENTRIES
    return version, np.frombuffer(items_value, ENTRY, offset=_HEADER.size + ENTRY_BYTES * dead)


assert ENTRY_BYTES == 12, "history.lua counts entries by twelves"
