"""Validation of incoming events and their append to the store: an invalid event does not affect the others.

The store provides idempotency, order and trimming.
"""

import time
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.errors import DamagedHistory, FieldError, InvalidRequest
from app.events.history_types import HistoryTypes
from app.events.schemas import MAX_FIELD_ERRORS, Event, EventResult
from app.http.field_problems import MAX_PROBLEMS, FieldProblem, format_detail, list_field_problems
from app.inference import Engine
from app.stores.errors import InvalidEvent
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.results import AppendResult
from app.telemetry.metrics import EVENT_VISIBLE, EVENTS

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class EventService:
    """Stores events; `history_types` decides by type which of them enter a history."""

    def __init__(self, store: HistoryStore, engine: Engine, history_types: HistoryTypes) -> None:
        self._store = store
        self._engine = engine
        self._history_types = history_types

    async def ingest(self, raw_events: Sequence[Any]) -> list[EventResult]:
        """Store the valid events and return one result per event, in order.

        InvalidRequest if every event is invalid; DamagedHistory if that is why none is stored. After StoreUnavailable
        none, some or all of them are stored; it is safe to send the same events again.
        """
        started_at, now_ms = time.perf_counter(), time.time_ns() // 1_000_000
        parsed = [self._parse_event(raw, now_ms) for raw in raw_events]
        if all(isinstance(event, EventResult) and event.status == "invalid" for event in parsed):
            EVENTS.labels("invalid").inc(len(parsed))
            raise _reject_all(parsed)
        events = [event for event in parsed if isinstance(event, NewEvent)]
        outcomes = await self._store.append_each(events) if events else []
        damaged = [outcome for outcome in outcomes if isinstance(outcome, DamagedHistory)]
        if damaged and len(damaged) == len(outcomes):
            EVENTS.labels("failed").inc(len(damaged))
            raise damaged[0]
        appended = iter(outcomes)
        if events:
            EVENT_VISIBLE.observe(time.perf_counter() - started_at)
        results = [self._to_result(event, next(appended)) if isinstance(event, NewEvent) else event for event in parsed]
        for result in results:
            EVENTS.labels(result.status).inc()
        return results

    def _parse_event(self, raw: Any, now_ms: int) -> NewEvent | EventResult:
        """Validate one event of a request; an EventResult for an event that is not to be stored."""
        try:
            event = _EVENT.validate_python(raw, context={"now_ms": now_ms})
            timestamp_ms = now_ms if event.timestamp is None else event.timestamp
            parsed = NewEvent(
                event.user_id, event.item_id, timestamp_ms, event.event_id, event.type, event.recommendation_id
            )
        except ValidationError as error:
            return _build_rejection(list_field_problems(error.errors(include_url=False), MAX_FIELD_ERRORS))
        except InvalidEvent as error:
            return _build_rejection([{"field": "timestamp", "detail": str(error)}])
        if event.type is None or self._history_types.includes(event.type):
            return parsed
        return EventResult(
            status="ignored",
            known_item=self._is_known(event.item_id),
            detail=self._history_types.explain_exclusion(event.type),
        )

    def _to_result(self, event: NewEvent, result: AppendResult | DamagedHistory) -> EventResult:
        if isinstance(result, DamagedHistory):
            return EventResult(status="failed", known_item=self._is_known(event.item_id), detail=result.detail)
        return EventResult(
            status=result.status, history_version=result.history_version, known_item=self._is_known(event.item_id)
        )

    def _is_known(self, item_id: str) -> bool:
        return item_id in self._engine.servable.catalogue


def _build_rejection(problems: Sequence[FieldError]) -> EventResult:
    problems = [{**problem, "field": "event"} if problem["field"] == "body" else problem for problem in problems]
    errors = [FieldProblem(**problem) for problem in problems]
    return EventResult(status="invalid", detail=format_detail(problems, MAX_FIELD_ERRORS), errors=errors)


def _reject_all(results: Sequence[EventResult | NewEvent]) -> InvalidRequest:
    """Build the error for a request without a valid event, with the fields of as many events as an error may list."""
    errors: list[FieldError] = []
    for index, result in enumerate(results[:MAX_PROBLEMS]):
        if isinstance(result, EventResult):
            for problem in result.errors or []:
                field = f"events.{index}" if problem.field == "event" else f"events.{index}.{problem.field}"
                errors.append({"field": field, "detail": problem.detail})
    errors = errors[:MAX_PROBLEMS]
    return InvalidRequest.for_fields(errors, f"no event is valid, so none is stored: {format_detail(errors)}")
