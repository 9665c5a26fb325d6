"""Validation of incoming events and their append to the store: an invalid event does not affect the others.

The store provides idempotency, order and trimming.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.events.schemas import Event, EventResult
from app.stores.errors import InvalidEvent
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.results import AppendResult
from app.telemetry.metrics import EVENT_VISIBLE, EVENTS

MIN_MILLISECONDS = 1e11  # larger numbers are milliseconds; as seconds this would be the year 5138
MAX_FUTURE_MS = 24 * 3600 * 1000
"""How far an event may be ahead of this clock; one further ahead would remain the newest of its history."""

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class EventService:
    def __init__(self, store: HistoryStore) -> None:
        self._store = store

    async def ingest(self, raw_events: Sequence[Any]) -> list[EventResult]:
        """Store the valid events and return one result per event, in order.

        After StoreUnavailable none, some or all of them are stored; it is safe to send the same events again.
        """
        started_at, now_ms = time.perf_counter(), time.time_ns() // 1_000_000
        rejections: list[EventResult | None] = []
        events: list[NewEvent] = []
        for raw in raw_events:
            try:
                events.append(_parse_event(raw, now_ms))
                rejections.append(None)
            except InvalidEvent as error:
                rejections.append(EventResult(status="invalid", detail=str(error)))
        appended = iter(await self._store.append(events) if events else [])
        if events:
            EVENT_VISIBLE.observe(time.perf_counter() - started_at)
        results = [rejection or _to_event_result(next(appended)) for rejection in rejections]
        for result in results:
            EVENTS.labels(result.status).inc()
        return results


def _to_event_result(result: AppendResult) -> EventResult:
    return EventResult(status=result.status, history_version=result.history_version)


def _parse_event(raw: Any, now_ms: int) -> NewEvent:
    """Validate one event of a request; the text of InvalidEvent begins with the field."""
    try:
        event = _EVENT.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "event"
        raise InvalidEvent(f"{field}: {first['msg']}") from error
    timestamp_ms = now_ms if event.timestamp is None else _to_milliseconds(event.timestamp)
    if timestamp_ms > now_ms + MAX_FUTURE_MS:
        raise InvalidEvent("timestamp: more than a day in the future")
    return NewEvent(event.user_id, event.item_id, timestamp_ms, event.event_id, event.type, event.recommendation_id)


def _to_milliseconds(timestamp: float | datetime) -> int:
    if isinstance(timestamp, datetime):
        return round(timestamp.timestamp() * 1000)
    try:
        return round(timestamp if abs(timestamp) >= MIN_MILLISECONDS else timestamp * 1000)
    except (OverflowError, ValueError):
        raise InvalidEvent("timestamp: not a finite number") from None
