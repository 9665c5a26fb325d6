"""What history.lua should do, as plainly as Python can say it: the yardstick of the property tests.

Knows lists and tuples; knows no bytes, no Redis and no shortcuts.
"""

from dataclasses import dataclass, field

from app.stores.records import HistoryEvent, NewEvent
from app.stores.results import AppendResult

Identity = tuple[str, ...]


def identity(event: NewEvent) -> Identity:
    return ("id", event.event_id) if event.event_id is not None else ("at", event.item_id, str(event.timestamp_ms))


@dataclass
class ReferenceHistory:
    max_events: int
    events: list[NewEvent] = field(default_factory=list)
    version: int = 0
    watermark: int | None = None
    seen: list[Identity] = field(default_factory=list)

    def append(self, events: list[NewEvent]) -> list[AppendResult]:
        outcomes: dict[int, AppendResult] = {}
        for index in sorted(range(len(events)), key=lambda index: events[index].timestamp_ms):
            outcomes[index] = self._append_one(events[index])
        if len(self.seen) > 5 * self.max_events and any(outcome.status == "stored" for outcome in outcomes.values()):
            self.seen = self.seen[-4 * self.max_events :]
        return [outcomes[index] for index in range(len(events))]

    def _append_one(self, event: NewEvent) -> AppendResult:
        if identity(event) in [identity(other) for other in self.events] or identity(event) in self.seen:
            return AppendResult("duplicate", self.version)
        if self.watermark is not None and event.timestamp_ms <= self.watermark:
            return AppendResult("late", self.version)
        if len(self.events) == self.max_events and event.timestamp_ms < self.events[0].timestamp_ms:
            return AppendResult("late", self.version)
        self.events = sorted([*self.events, event], key=lambda other: other.timestamp_ms)
        self.version += 1
        if len(self.events) > self.max_events:
            gone = self.events.pop(0)
            self.watermark = gone.timestamp_ms
            if gone.event_id is not None:
                self.seen.append(identity(gone))
        return AppendResult("stored", self.version)

    def read_history(self) -> list[HistoryEvent]:
        return [HistoryEvent(e.item_id, e.timestamp_ms, e.type, e.recommendation_id) for e in self.events]
