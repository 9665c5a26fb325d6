"""Events into histories: each judged on its own, all good ones stored in one go.

Once-only, order and trimming are the store's; here times are read and nonsense is refused. It knows no HTTP.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.errors import InvalidRequest
from app.events.schemas import Event, EventResult
from app.stores.history import HistoryStore
from app.stores.records import NewEvent, encode
from app.telemetry.metrics import EVENT_VISIBLE, EVENTS

MILLISECONDS_FROM = 1e11  # as seconds this would be the year 5138
FUTURE_MS = 24 * 3600 * 1000
"""An event may be this far ahead of our clock; one that is further would stay the newest for ever."""

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class EventService:
    def __init__(self, store: HistoryStore) -> None:
        self._store = store

    async def ingest(self, given: Sequence[Any]) -> list[EventResult]:
        """One result per event, in order. StoreUnavailable: none, some or all are stored; send the same again."""
        began, now_ms = time.perf_counter(), time.time_ns() // 1_000_000
        results: list[EventResult | None] = []
        good: list[NewEvent] = []
        for raw in given:
            try:
                good.append(_event(raw, now_ms))
                results.append(None)
            except InvalidRequest as error:
                results.append(EventResult(status="invalid", detail=error.detail))
        applied = iter(await self._store.append(good) if good else [])
        if good:
            EVENT_VISIBLE.observe(time.perf_counter() - began)
        done = [result or _result(next(applied)) for result in results]
        for result in done:
            EVENTS.labels(result.status).inc()
        return done


def _result(applied: Any) -> EventResult:
    return EventResult(status=applied.status, history_version=applied.history_version)


def _event(raw: Any, now_ms: int) -> NewEvent:
    """InvalidRequest names the field."""
    try:
        event = _EVENT.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "event"
        raise InvalidRequest(f"{field}: {first['msg']}") from error
    timestamp_ms = now_ms if event.timestamp is None else _milliseconds(event.timestamp)
    if timestamp_ms > now_ms + FUTURE_MS:
        raise InvalidRequest("timestamp: more than a day in the future")
    new = NewEvent(event.user_id, event.item_id, timestamp_ms, event.event_id, event.type, event.recommendation_id)
    encode(new)  # what cannot be stored fails here, for this event alone
    return new


def _milliseconds(timestamp: float | datetime) -> int:
    if isinstance(timestamp, datetime):
        return round(timestamp.timestamp() * 1000)
    try:
        return round(timestamp if abs(timestamp) >= MILLISECONDS_FROM else timestamp * 1000)
    except (OverflowError, ValueError):
        raise InvalidRequest("timestamp: not a finite number") from None
