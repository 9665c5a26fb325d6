"""Figures of an event buffer, and the events that it gives up."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

DropReason = Literal["full", "invalid", "failed", "too_large", "damaged", "closed"]
"""Why a buffer gives an event up.

full       the buffer had `max_events`
invalid    the service rejected it
failed     the stored history of the user is damaged
too_large  the service does not accept its size
damaged    its line of the spool file cannot be read
closed     it was not sent before `close` ended, and there is no spool file
"""


@dataclass(frozen=True, slots=True)
class DroppedEvent:
    """An event that was given up; `event` is None for a damaged line."""

    event: dict[str, Any] | None
    reason: DropReason
    detail: str


@dataclass(slots=True)
class EventCounts:
    """What happened to the events of a buffer since it was opened; `results` are the statuses of the service."""

    added: int = 0
    recovered: int = 0
    """events of an earlier process, from the spool file"""
    unspooled: int = 0
    """events that are only in memory, because the spool file could not be written"""
    results: Counter[str] = field(default_factory=Counter)
    dropped: Counter[DropReason] = field(default_factory=Counter)

    def format_summary(self) -> str:
        """Format as one line for a log."""
        parts = {"added": self.added, "recovered": self.recovered, **self.results}
        parts |= {f"dropped ({reason})": count for reason, count in self.dropped.items()}
        return ", ".join(f"{count} {name}" for name, count in parts.items())
