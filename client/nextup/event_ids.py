"""Ids of events: with one, an event takes effect once, however often it is sent."""

from collections.abc import Iterable
from uuid import uuid4

from nextup.requests import Event


def add_event_ids(events: Iterable[Event]) -> list[Event]:
    """Copy events, each with an id: its own, or a new one."""
    return [event if event.get("event_id") else {**event, "event_id": uuid4().hex} for event in events]
