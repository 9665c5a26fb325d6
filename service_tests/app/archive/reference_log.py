"""Plain Python model of the event log: the events of each user after appends, erasures and merges.

It keeps the state of each user, as the store does, and does not depend on ids, files or the order in which they are
read.
"""

from dataclasses import dataclass, field

from app.stores.records import NewEvent, compute_identity
from service_tests.app.archive.log_writer import Row, make_row

Identity = tuple[bool, bytes]


@dataclass
class ReferenceLog:
    """`events` of each user by identity, the first one with it."""

    events: dict[str, dict[Identity, NewEvent]] = field(default_factory=dict)

    def append(self, user: str, *events: NewEvent) -> None:
        for event in events:
            self._add(user, event)

    def erase(self, user: str) -> None:
        self.events.pop(user, None)

    def merge(self, source: str, target: str) -> None:
        for event in self.events.pop(source, {}).values():
            self._add(target, event)

    def list_rows(self) -> list[Row]:
        rows = [make_row(user, event) for user, events in self.events.items() for event in events.values()]
        return sorted(rows, key=repr)

    def _add(self, user: str, event: NewEvent) -> None:
        identity = (event.event_id is not None, compute_identity(event))
        self.events.setdefault(user, {}).setdefault(identity, event)
