"""Layout of the `items` value: item keys and times of a user's events, all that a model reads.

    items = header 46 bytes | slots of 12 bytes, oldest first | zeros up to the capacity
    slot  = item key 8 bytes | u32 milliseconds since the previous event
          | time of the previous event i64 ms | u32 GAP, in front of an entry that is 49 days later or more

Numbers are little-endian. Times are decoded backwards from the last time, so trimming in front changes nothing. A value
without gaps is read as one structured array. history.lua writes the values (docs/architecture/history-store.md).
"""

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.catalogue.item_key import ItemKeys

Slots = NDArray[np.void]
"""(n,) with the fields `key` and `gap`."""
EventTimes = NDArray[np.uint32]
"""(n,) Unix times in seconds."""
EventTimesMs = NDArray[np.int64]
"""(n,) Unix times in milliseconds."""

FORMAT = 2
SLOT: np.dtype[Any] = np.dtype([("key", "<u8"), ("gap", "<u4")])
SLOT_BYTES = SLOT.itemsize
GAP = 2**32 - 1
MAX_TIME_S = 2**32 - 1
HEADER = struct.Struct("<QHHBBHHIqqq")
"""version, retained entries, used slots, format, 1 if identities have expired, trimmed slots, capacity in slots,
identities in `seen`, time of the last and of the first retained event, watermark."""
OLD_HEADER = struct.Struct("<QII")
"""Of the format before: version, trimmed entries, bytes of an entry."""
_FORMAT_OFFSET = 12
NO_SLOTS: Slots = np.empty(0, dtype=SLOT)


class DecodedItems(NamedTuple):
    """The retained slots of an `items` value. `retained` of them are entries, the others gaps."""

    version: int
    slots: Slots
    retained: int
    ids: int
    """Identities in `seen`, the last ones those of the retained events."""
    last_ms: int
    forgets: bool = False
    """Whether identities have expired and none is stored since."""
    is_old: bool = False
    """Whether the value has the format before, whose slots have Unix seconds in place of a gap."""


EMPTY_ITEMS = DecodedItems(0, NO_SLOTS, 0, 0, 0)


def is_old_format(items_value: bytes | None) -> bool:
    """Whether a value was stored before format 2, so that the user also has an `events` value."""
    return items_value is not None and (len(items_value) <= _FORMAT_OFFSET or items_value[_FORMAT_OFFSET] != FORMAT)


def decode_items_value(items_value: bytes) -> DecodedItems:
    """Decode the header; struct.error or ValueError if it is not that of a history."""
    if is_old_format(items_value):
        return _decode_old_items(items_value)
    version, retained, used, _, forgets, start, capacity, ids, last_ms, _, _ = HEADER.unpack_from(items_value)
    if start + retained > used or used > capacity or len(items_value) != HEADER.size + SLOT_BYTES * capacity:
        raise ValueError(f"{len(items_value)} bytes do not hold {used} of {capacity} slots")
    slots = np.frombuffer(items_value, SLOT, used - start, HEADER.size + SLOT_BYTES * start)
    return DecodedItems(version, slots, retained, ids, last_ms, bool(forgets))


def decode_last_ms(header: bytes) -> int | None:
    """Decode the time of the last event from the first bytes of a value; None for one of the format before."""
    return None if is_old_format(header) or len(header) < HEADER.size else int(HEADER.unpack_from(header)[8])


def select_keys(items: DecodedItems) -> ItemKeys:
    """Return the item keys: (n,), a view of the value if it has no gaps."""
    keys: ItemKeys = items.slots["key"]
    if items.is_old or len(keys) == items.retained:
        return keys
    entry_keys: ItemKeys = keys[items.slots["gap"] != GAP]
    return entry_keys


def compute_times_ms(items: DecodedItems) -> EventTimesMs:
    """Compute the time of each entry: (n,)."""
    gaps = items.slots["gap"]
    if items.is_old:
        seconds: EventTimesMs = gaps.astype(np.int64)
        return seconds * 1000
    if len(gaps) == items.retained:
        elapsed: EventTimesMs = np.cumsum(gaps, dtype=np.int64)
        if len(elapsed):
            elapsed += items.last_ms - int(elapsed[-1])
        return elapsed
    is_gap = gaps == GAP
    elapsed = np.cumsum(np.where(is_gap, 0, gaps), dtype=np.int64)
    ends = np.flatnonzero(is_gap)  # a segment ends before a gap, which has the time of its last entry
    end_times = np.append(items.slots["key"][ends].view(np.int64), items.last_ms)
    end_elapsed = np.append(elapsed[ends], elapsed[-1])
    segments = np.cumsum(is_gap)
    times_ms: EventTimesMs = end_times[segments] - (end_elapsed[segments] - elapsed)
    entry_times: EventTimesMs = times_ms[~is_gap]
    return entry_times


def compute_times(items: DecodedItems) -> EventTimes:
    """Compute the time of each entry in whole seconds, clipped to u32 as in training: (n,)."""
    seconds = compute_times_ms(items)
    seconds //= 1000
    if len(seconds) and (seconds[0] < 0 or seconds[-1] > MAX_TIME_S):  # ascending
        np.clip(seconds, 0, MAX_TIME_S, out=seconds)
    return seconds.astype(np.uint32)


def _decode_old_items(items_value: bytes) -> DecodedItems:
    """Decode the format before; entries of another size are read as an empty history."""
    version, trimmed, entry_bytes = OLD_HEADER.unpack_from(items_value)
    if entry_bytes != SLOT_BYTES:
        return EMPTY_ITEMS._replace(version=version, is_old=True)
    slots = np.frombuffer(items_value, SLOT, offset=OLD_HEADER.size + SLOT_BYTES * trimmed)
    return DecodedItems(version, slots, len(slots), 0, 0, is_old=True)


assert (HEADER.size, SLOT_BYTES) == (46, 12), "history_values.lua hard-codes the sizes"
