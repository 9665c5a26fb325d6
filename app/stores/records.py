"""How an event lies in the store: one record of bytes, and the identity under which it takes effect once.

    record = time i64 ms | identity 8 bytes | flags u8 | rest u16 | rest
    rest   = [u16 length, type] [u16 length, recommendation id] item id        (the first two when flagged)

The script reads the 19 bytes in front of the rest; what the rest holds only this file knows. It knows no Redis.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from app.errors import InvalidRequest

RECORD = struct.Struct("<q8sBH")
# Of the `events` value: watermark i64, time of the last event i64, dead u32, live u32, offset of the first live u32.
EVENTS_HEADER = struct.Struct("<qqIII")

HAS_EVENT_ID, HAS_TYPE, HAS_RECOMMENDATION = 1, 2, 4
MAX_TEXT = 128
MAX_TIMESTAMP_MS = 2**53  # a Lua number is a double: beyond this, times would silently round
_LENGTH = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class NewEvent:
    user_id: str
    item_id: str
    timestamp_ms: int
    event_id: str | None = None
    type: str | None = None
    recommendation_id: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    item_id: str
    timestamp_ms: int
    type: str | None
    recommendation_id: str | None


def compute_identity(event: NewEvent) -> bytes:
    """Eight bytes; the two kinds are hashed apart, so that no event_id can pose as an (item, time)."""
    if event.event_id is not None:
        return blake2b(_text(event.event_id, "event_id"), digest_size=8, person=b"event_id").digest()
    text = b"%d:%b" % (event.timestamp_ms, _text(event.item_id, "item_id"))
    return blake2b(text, digest_size=8, person=b"item+time").digest()


def encode(event: NewEvent) -> bytes:
    if not -MAX_TIMESTAMP_MS <= event.timestamp_ms <= MAX_TIMESTAMP_MS:
        raise InvalidRequest(f"timestamp {event.timestamp_ms} is out of range")
    flags = 0 if event.event_id is None else HAS_EVENT_ID
    rest = b""
    if event.type is not None:
        flags |= HAS_TYPE
        rest += _prefixed(event.type, "type")
    if event.recommendation_id is not None:
        flags |= HAS_RECOMMENDATION
        rest += _prefixed(event.recommendation_id, "recommendation_id")
    rest += _text(event.item_id, "item_id", MAX_TEXT)
    return RECORD.pack(event.timestamp_ms, compute_identity(event), flags, len(rest)) + rest


def decode(records: bytes) -> Iterator[HistoryEvent]:
    at = 0
    while at < len(records):
        timestamp_ms, _, flags, size = RECORD.unpack_from(records, at)
        at += RECORD.size
        rest, at = records[at : at + size], at + size
        kind = recommendation_id = None
        if flags & HAS_TYPE:
            kind, rest = _take(rest)
        if flags & HAS_RECOMMENDATION:
            recommendation_id, rest = _take(rest)
        yield HistoryEvent(rest.decode(), timestamp_ms, kind, recommendation_id)


def get_retained_records(events_value: bytes | None) -> bytes:
    """The records of the retained events: without the header and without what is trimmed but not yet cut off."""
    if not events_value:
        return b""
    *_, first_live = EVENTS_HEADER.unpack_from(events_value)
    return events_value[first_live:]


def _prefixed(text: str, field: str) -> bytes:
    raw = _text(text, field, MAX_TEXT)
    return _LENGTH.pack(len(raw)) + raw


def _take(rest: bytes) -> tuple[str, bytes]:
    (size,) = _LENGTH.unpack_from(rest)
    return rest[2 : 2 + size].decode(), rest[2 + size :]


def _text(text: str, field: str, longest: int | None = None) -> bytes:
    if longest is not None and len(text) > longest:
        raise InvalidRequest(f"{field} is longer than {longest} characters")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{field} is not valid Unicode text") from error
