"""Layout of the `items` value: the part of a user's events that a model reads.

    items = version u64 | leading trimmed entries u32 | bytes of an entry u32 | entries, oldest first
    entry = item key 8 bytes | Unix time u32, in seconds, clipped

Numbers are little-endian. An entry is twelve bytes without padding, so a value is one structured array and is read
without a loop. The header states the entry size: a value with another size was written by another version of nextup
and is read as empty.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue.item_key import item_key

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
    return _ENTRY.pack(item_key(item_id), min(max(timestamp_ms // 1000, 0), MAX_TIME_S))


def decode_items_value(items_value: bytes) -> tuple[int, Entries]:
    """Return the version and the retained entries, without those that are trimmed but not yet cut off."""
    version, trimmed, entry_bytes = _HEADER.unpack_from(items_value)
    if entry_bytes != ENTRY_BYTES:
        return version, NO_ENTRIES
    return version, np.frombuffer(items_value, ENTRY, offset=_HEADER.size + ENTRY_BYTES * trimmed)


assert ENTRY_BYTES == 12, "history.lua hard-codes the size of an entry"
