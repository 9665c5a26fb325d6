"""Record format of stored events, and the identity under which an event takes effect once.

    record = time i64 ms | identity 8 bytes | flags u8 | tail length u16 | tail
    tail   = [u16 length, type] [u16 length, recommendation id] item id        (the first two only if flagged)

A position is a suffix of the recommendation id, a NUL and digits, if flagged: a process of an earlier release, which
does not know the flag, reads the item id all the same.

history.lua reads the 19 bytes before the tail; only this module reads the tail.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from app.stores.errors import InvalidEvent

RECORD = struct.Struct("<q8sBH")
# Of the `events` value: watermark i64, time of the last event i64, trimmed u32, retained u32, offset of the first
# retained record u32.
EVENTS_HEADER = struct.Struct("<qqIII")

HAS_EVENT_ID, HAS_TYPE, HAS_RECOMMENDATION, HAS_POSITION = 1, 2, 4, 8
MAX_POSITION = 10_000
MAX_TEXT_CHARACTERS = 128
IDENTITY_BYTES = 8
MAX_TIMESTAMP_MS = 2**53  # a Lua number is a double and silently rounds larger times
_LENGTH = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append; creating one raises InvalidEvent if the record format cannot hold it."""

    user_id: str
    item_id: str
    timestamp_ms: int
    event_id: str | None = None
    type: str | None = None
    recommendation_id: str | None = None
    identity: bytes | None = None
    """The hash of an event_id that is itself not known, as of an event that was dumped."""
    position: int | None = None
    """Place of the item in the answer, from 1 to MAX_POSITION; in the event log, not in the history."""
    record: bytes = field(init=False, repr=False, compare=False)
    """The encoded event. Encoding is the validation, so it happens once, here."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "record", _encode_record(self))


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """An event as read from the store."""

    item_id: str
    timestamp_ms: int
    type: str | None
    recommendation_id: str | None
    identity: bytes | None = field(default=None, compare=False)
    """The hash of the event_id; None without one."""
    position: int | None = None


def compute_identity(event: NewEvent) -> bytes:
    """Hash the event_id, or item and time, to 8 bytes; with a different personalization for each kind."""
    if event.identity is not None:
        if len(event.identity) != IDENTITY_BYTES:
            raise InvalidEvent(f"identity must have {IDENTITY_BYTES} bytes (got {len(event.identity)})")
        return event.identity
    if event.event_id is not None:
        return blake2b(_encode_text(event.event_id, "event_id"), digest_size=8, person=b"event_id").digest()
    text = b"%d:%b" % (event.timestamp_ms, _encode_text(event.item_id, "item_id"))
    return blake2b(text, digest_size=8, person=b"item+time").digest()


def _encode_record(event: NewEvent) -> bytes:
    if not -MAX_TIMESTAMP_MS <= event.timestamp_ms <= MAX_TIMESTAMP_MS:
        raise InvalidEvent(f"timestamp {event.timestamp_ms} is out of range")
    flags = HAS_EVENT_ID if event.event_id is not None or event.identity is not None else 0
    tail = b""
    if event.type is not None:
        flags |= HAS_TYPE
        tail += _encode_prefixed(event.type, "type")
    if event.recommendation_id is not None or event.position is not None:
        flags |= HAS_RECOMMENDATION
        tail += _encode_prefixed(event.recommendation_id or "", "recommendation_id", _encode_position(event.position))
        flags |= HAS_POSITION if event.position is not None else 0
    tail += _encode_text(event.item_id, "item_id", MAX_TEXT_CHARACTERS)
    return RECORD.pack(event.timestamp_ms, compute_identity(event), flags, len(tail)) + tail


def decode_records(records: bytes) -> Iterator[HistoryEvent]:
    """Decode joined records; struct.error or ValueError if they are not records."""
    offset = 0
    while offset < len(records):
        timestamp_ms, identity, flags, tail_bytes = RECORD.unpack_from(records, offset)
        offset += RECORD.size
        tail, offset = records[offset : offset + tail_bytes], offset + tail_bytes
        _check_end(offset, records)
        event_type = recommendation_id = position = None
        if flags & HAS_TYPE:
            event_type, tail = _take_prefixed(tail)
        if flags & HAS_RECOMMENDATION:
            recommendation_id, tail = _take_prefixed(tail)
        if flags & HAS_POSITION and recommendation_id is not None:
            text, _, digits = recommendation_id.rpartition("\0")
            recommendation_id, position = text or None, int(digits)
        identity = identity if flags & HAS_EVENT_ID else None
        yield HistoryEvent(tail.decode(), timestamp_ms, event_type, recommendation_id, identity, position)


def split_records(records: bytes) -> list[bytes]:
    """Split joined records into single ones."""
    parts, offset = [], 0
    while offset < len(records):
        *_, tail_bytes = RECORD.unpack_from(records, offset)
        end = offset + RECORD.size + tail_bytes
        _check_end(end, records)
        parts.append(records[offset:end])
        offset = end
    return parts


def get_retained_records(events_value: bytes | None) -> bytes:
    """Return the retained records, without the header and those that are trimmed but not yet cut off."""
    if not events_value:
        return b""
    *_, first_retained = EVENTS_HEADER.unpack_from(events_value)
    _check_end(first_retained, events_value)
    return events_value[first_retained:]


def _check_end(end: int, value: bytes) -> None:
    if end > len(value):
        raise ValueError(f"a record ends at byte {end} of {len(value)}")


def _encode_position(position: int | None) -> bytes:
    if position is None:
        return b""
    if not 1 <= position <= MAX_POSITION:
        raise InvalidEvent(f"position must be between 1 and {MAX_POSITION:,} (got {position})")
    return b"\0%d" % position


def _encode_prefixed(text: str, name: str, suffix: bytes = b"") -> bytes:
    raw = _encode_text(text, name, MAX_TEXT_CHARACTERS) + suffix
    return _LENGTH.pack(len(raw)) + raw


def _take_prefixed(tail: bytes) -> tuple[str, bytes]:
    (length,) = _LENGTH.unpack_from(tail)
    return tail[2 : 2 + length].decode(), tail[2 + length :]


def _encode_text(text: str, name: str, max_characters: int | None = None) -> bytes:
    if max_characters is not None and len(text) > max_characters:
        raise InvalidEvent(f"{name} is longer than {max_characters} characters")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidEvent(f"{name} is not valid Unicode text") from error
