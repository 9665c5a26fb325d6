"""Entries of the event log (event_log.py) as a reader sees them: events of one user, or a control about a user."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from app.stores.event_log import CONTROL, OTHER_USER, PLACE, RECORDS, TOKEN, USER
from app.stores.records import HistoryEvent, decode_records

Control = Literal["erase", "receive", "merge"]
CONTROLS: tuple[Control, ...] = ("erase", "receive", "merge")


class LogId(NamedTuple):
    """The id of an entry: milliseconds of the append, and a sequence number within them."""

    ms: int
    seq: int

    @classmethod
    def parse(cls, text: bytes) -> "LogId":
        ms, _, seq = text.partition(b"-")
        return cls(int(ms), int(seq))

    def __bytes__(self) -> bytes:
        return b"%d-%d" % self

    @property
    def successor(self) -> "LogId":
        return LogId(self.ms, self.seq + 1)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry: `records` of accepted events, or a control with the other user of a merge and its token.

    The `log_id` of a control is the place at which it took effect, which may be in front of the entry.
    """

    log_id: LogId
    user_id: str
    records: bytes = b""
    control: Control | None = None
    other_user: str | None = None
    token: str | None = None

    def iter_events(self) -> Iterator[HistoryEvent]:
        """Decode the events in their order; struct.error or ValueError if they are not records."""
        return decode_records(self.records)


def decode_entry(log_id: bytes, fields: Mapping[bytes, bytes]) -> LogEntry:
    """Decode an entry of a stream; ValueError if it is not one of the event log."""
    user_id, records = fields.get(USER), fields.get(RECORDS)
    if user_id is None:
        raise ValueError("the entry has no user")
    if records is not None:
        return LogEntry(LogId.parse(log_id), user_id.decode(), records)
    control = fields.get(CONTROL, b"").decode()
    other_user, token = fields.get(OTHER_USER), fields.get(TOKEN)
    if control not in CONTROLS or (control != "erase" and (other_user is None or token is None)):
        raise ValueError(f"the entry is neither events nor a known control (c = {control[:20]!r})")
    return LogEntry(
        LogId.parse(fields.get(PLACE, log_id)),
        user_id.decode(),
        control=control,
        other_user=None if other_user is None else other_user.decode(),
        token=None if token is None else token.decode(),
    )
