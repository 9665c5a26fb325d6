"""The event log: every accepted event in full, in a Redis stream that history.lua and erase.lua append to.

An entry of the stream has fields. `u` is the user id, and either `r` has joined records (records.py) or `c` says what
happened to the user:

    c erase                   all data of the user was erased
    c receive  w source  t T  the events of `source` now belong to the user
    c merge    w target  t T  the other half of a merge: the events of the user belong to `target`, and it was erased

Both halves of one merge have the same token T. They are in two streams if the users are in different slots. The `merge`
is written when the merge is finished, or an `erase` in place of it; `a` has the log id at which it took effect.
"""

from dataclasses import dataclass
from typing import Literal

from app.settings import Settings

LogPolicy = Literal["off", "reject", "drop"]
USER, RECORDS, CONTROL, OTHER_USER, TOKEN, PLACE = b"u", b"r", b"c", b"w", b"t", b"a"
ERASE, RECEIVE, MERGE = b"erase", b"receive", b"merge"


@dataclass(frozen=True, slots=True)
class EventLogLimits:
    """Whether events are logged, and what happens at `max_entries` of one stream."""

    policy: LogPolicy = "reject"
    max_entries: int = 1_000_000

    @classmethod
    def from_settings(cls, settings: Settings) -> "EventLogLimits":
        if settings.event_log == "off":
            return cls("off", settings.event_log_max_entries)
        return cls("reject" if settings.event_log_full == "reject" else "drop", settings.event_log_max_entries)


@dataclass(frozen=True, slots=True)
class MergeTransfer:
    """A merge as both of its halves are logged: `source` moves to `target`; each attempt has another token."""

    source: str
    target: str
    token: str
