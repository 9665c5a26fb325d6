"""Plain Python model of history.lua, against which the property tests compare it."""

from dataclasses import dataclass, field

from app.stores.records import HistoryEvent, NewEvent
from app.stores.results import AppendResult

Identity = tuple[str, ...]


def get_identity(event: NewEvent) -> Identity:
    return ("id", event.event_id) if event.event_id is not None else ("at", event.item_id, str(event.timestamp_ms))


@dataclass
class ReferenceHistory:
    max_events: int
    events: list[NewEvent] = field(default_factory=list)
    version: int = 0
    watermark: int | None = None
    trimmed_ids: list[Identity] = field(default_factory=list)

    def append(self, events: list[NewEvent]) -> list[AppendResult]:
        results: dict[int, AppendResult] = {}
        for index in sorted(range(len(events)), key=lambda index: events[index].timestamp_ms):
            results[index] = self._append_event(events[index])
        has_stored = any(result.status == "stored" for result in results.values())
        if len(self.trimmed_ids) > 5 * self.max_events and has_stored:
            self.trimmed_ids = self.trimmed_ids[-4 * self.max_events :]
        return [results[index] for index in range(len(events))]

    def _append_event(self, event: NewEvent) -> AppendResult:
        identity = get_identity(event)
        if identity in map(get_identity, self.events) or identity in self.trimmed_ids:
            return AppendResult("duplicate", self.version)
        if self.watermark is not None and event.timestamp_ms <= self.watermark:
            return AppendResult("late", self.version)
        if len(self.events) == self.max_events and event.timestamp_ms < self.events[0].timestamp_ms:
            return AppendResult("late", self.version)
        self.events = sorted([*self.events, event], key=lambda event: event.timestamp_ms)
        self.version += 1
        if len(self.events) > self.max_events:
            trimmed = self.events.pop(0)
            self.watermark = trimmed.timestamp_ms
            if trimmed.event_id is not None:
                self.trimmed_ids.append(get_identity(trimmed))
        return AppendResult("stored", self.version)

    def read_history(self) -> list[HistoryEvent]:
        return [HistoryEvent(e.item_id, e.timestamp_ms, e.type, e.recommendation_id) for e in self.events]
