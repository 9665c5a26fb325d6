"""The stored values of one user as raw bytes, and the events in them as history.lua takes them for another user."""

from dataclasses import dataclass
from hashlib import sha1

import numpy as np
from numpy.typing import NDArray

from app.errors import DamagedHistory
from app.stores.entries import DecodedItems, compute_times_ms, select_keys
from app.stores.records import HAS_EVENT_ID, IDENTITY_BYTES, RECORD
from app.stores.results import decode_history, report_damage

SEEN_FORMAT = b"\x02"
SHORT_ID_BYTES = 5
KEY_BYTES = 8
IS_FORGOTTEN = 128
"""Flag of a record whose event had an identity that has expired, if it had one."""
_RECORD = np.dtype([("time", "<i8"), ("identity", f"V{IDENTITY_BYTES}"), ("flags", "u1"), ("tail", "<u2")])

assert _RECORD.itemsize == RECORD.size


@dataclass(frozen=True, slots=True)
class HistorySnapshot:
    """The values `items` and `seen` of a user, read in one atomic step."""

    items: bytes | None
    seen: bytes | None

    @property
    def items_sha1(self) -> str:
        """Hash of the `items` value in hex, as erase.lua compares it."""
        return sha1(self.items or b"", usedforsecurity=False).hexdigest()

    def encode_events(self) -> tuple[bytes, bytes]:
        """Encode the retained events as (item keys, records without tails).

        An event has the identity that it is known by: 5 bytes, followed by zeros. DamagedHistory if a value cannot be
        decoded.
        """
        history = decode_history(self.items)
        with report_damage():
            keys = np.ascontiguousarray(select_keys(history.items))
            times = compute_times_ms(history.items)
            ids = decode_retained_ids(self.seen, history.items)
        records = np.zeros(len(keys), dtype=_RECORD)
        records["time"] = times
        padded = np.zeros((len(keys), IDENTITY_BYTES), dtype=np.uint8)
        padded[:, :SHORT_ID_BYTES] = ids
        records["identity"] = padded.view(f"V{IDENTITY_BYTES}")[:, 0]
        records["flags"] = np.where((ids == 255).all(axis=1), IS_FORGOTTEN, np.where(ids.any(axis=1), HAS_EVENT_ID, 0))
        return keys.tobytes(), records.tobytes()


def split_encoded(events: bytes) -> tuple[bytes, bytes]:
    """Split what `encode_events` returned and was joined into item keys and records."""
    num_events, remainder = divmod(len(events), KEY_BYTES + RECORD.size)
    if remainder:
        raise DamagedHistory.with_reason(f"{len(events)} bytes are not whole events")
    return events[: KEY_BYTES * num_events], events[KEY_BYTES * num_events :]


def decode_retained_ids(seen_value: bytes | None, items: DecodedItems) -> NDArray[np.uint8]:
    """Decode the identities of the retained events: (n, 5), zeros for no id and 255 for one that has expired."""
    first = len(SEEN_FORMAT) + SHORT_ID_BYTES * (items.ids - items.retained)
    if items.ids == 0 or not seen_value or len(seen_value) < first + SHORT_ID_BYTES * items.retained:
        forgets = items.forgets or items.ids > 0
        return np.full((items.retained, SHORT_ID_BYTES), 255 if forgets else 0, dtype=np.uint8)
    flat = np.frombuffer(seen_value, np.uint8, SHORT_ID_BYTES * items.retained, first)
    return flat.reshape(items.retained, SHORT_ID_BYTES)
