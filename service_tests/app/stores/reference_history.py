"""Plain Python model of history.lua, against which the property tests compare it."""

from dataclasses import dataclass, field, replace

from app.stores.records import NewEvent
from app.stores.results import AppendResult, HistoryEntry

FORGOTTEN = "forgotten"
"""Marks an event whose identity has expired."""


@dataclass
class ReferenceHistory:
    max_events: int
    events: list[NewEvent] = field(default_factory=list)
    version: int = 0
    watermark: int | None = None
    has_ids: bool = False
    forgets: bool = False
    """Whether the identities have expired, and no event with one came since."""
    trimmed_ids: list[str | None] = field(default_factory=list)
    """Of the trimmed events since the first event with an id."""

    def append(self, events: list[NewEvent]) -> list[AppendResult]:
        results: dict[int, AppendResult] = {}
        trimmed: list[str | None] = []
        for index in sorted(range(len(events)), key=lambda index: events[index].timestamp_ms):
            results[index] = self._append_event(events[index], trimmed)
        stored = [event for index, event in enumerate(events) if results[index].status == "stored"]
        self.has_ids = self.has_ids or any(event.event_id is not None for event in stored)
        if self.has_ids and stored:
            self.forgets = False
            self.trimmed_ids += trimmed
            if len(self.trimmed_ids) > 5 * self.max_events:
                self.trimmed_ids = self.trimmed_ids[-4 * self.max_events :]
        elif self.forgets:
            self.events = [replace(event, event_id=FORGOTTEN) for event in self.events]
        return [results[index] for index in range(len(events))]

    def forget_ids(self) -> None:
        """Expire the identities: any event may have had one."""
        if self.has_ids:
            self.events = [replace(event, event_id=FORGOTTEN) for event in self.events]
            self.has_ids, self.forgets, self.trimmed_ids = False, True, []

    def store_in_old_format(self) -> None:
        """Keep what the format before kept: it had no places for trimmed events without an id, and forgot none."""
        self.events = [replace(event, event_id=_drop_forgotten(event.event_id)) for event in self.events]
        self.trimmed_ids = [event_id for event_id in map(_drop_forgotten, self.trimmed_ids) if event_id is not None]
        self.has_ids = bool(self.trimmed_ids) or any(event.event_id is not None for event in self.events)
        self.forgets = False

    def _append_event(self, event: NewEvent, trimmed: list[str | None]) -> AppendResult:
        known_ids = {*trimmed, *self.trimmed_ids, *(stored.event_id for stored in self.events)} - {None, FORGOTTEN}
        if event.event_id in known_ids:
            return AppendResult("duplicate", self.version)
        twin_ids = {FORGOTTEN} if event.event_id not in (None, FORGOTTEN) else {None, FORGOTTEN}
        if any(
            stored.event_id in twin_ids and (stored.item_id, stored.timestamp_ms) == (event.item_id, event.timestamp_ms)
            for stored in self.events
        ):
            return AppendResult("duplicate", self.version)
        if self.watermark is not None and event.timestamp_ms <= self.watermark:
            return AppendResult("late", self.version)
        if len(self.events) == self.max_events and event.timestamp_ms < self.events[0].timestamp_ms:
            return AppendResult("late", self.version)
        self.events = sorted([*self.events, event], key=lambda event: event.timestamp_ms)
        self.version += 1
        if len(self.events) > self.max_events:
            oldest = self.events.pop(0)
            self.watermark = oldest.timestamp_ms
            trimmed.append(oldest.event_id)
        return AppendResult("stored", self.version)

    def read_history(self) -> list[HistoryEntry]:
        return [HistoryEntry(event.item_id, event.timestamp_ms) for event in self.events]


def _drop_forgotten(event_id: str | None) -> str | None:
    return None if event_id == FORGOTTEN else event_id
