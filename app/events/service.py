"""Validation of incoming events and their append to the store: an invalid event does not affect the others.

The store provides idempotency, order and trimming.
"""

import time
from collections import Counter
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
        parsed = [_parse_event(raw, now_ms) for raw in raw_events]
        valid = [event for event in parsed if isinstance(event, NewEvent)]
        if not valid:
            EVENTS.labels("invalid").inc(len(parsed))
            raise _reject_all(parsed)
        events = [event for event in valid if self._history_types.includes(event.type)]
        outcomes = await self._store.append_each(events) if events else []
        damaged = [outcome for outcome in outcomes if isinstance(outcome, DamagedHistory)]
        if damaged and len(damaged) == len(outcomes):
            EVENTS.labels("failed").inc(len(damaged))
            raise damaged[0]
        if events:
            EVENT_VISIBLE.observe(time.perf_counter() - started_at)
        results = self._build_results(parsed, outcomes)
        for status, count in Counter(result.status for result in results).items():
            EVENTS.labels(status).inc(count)
        return results

    def _build_results(
        self, parsed: Sequence[NewEvent | EventResult], outcomes: Sequence[AppendResult | DamagedHistory]
    ) -> list[EventResult]:
        """Build one result per event; `outcomes` are those of the events that enter a history, in order."""
        catalogue = self._engine.servable.catalogue
        known = catalogue.select_known([event.item_id for event in parsed if isinstance(event, NewEvent)])
        remaining = iter(outcomes)
        results = []
        for event in parsed:
            if isinstance(event, EventResult):
                results.append(event)
                continue
            is_known = event.item_id in known
            if event.type is not None and not self._history_types.includes(event.type):
                detail = self._history_types.explain_exclusion(event.type)
                results.append(EventResult(status="ignored", known_item=is_known, detail=detail))
                continue
            outcome = next(remaining)
            if isinstance(outcome, DamagedHistory):
                results.append(EventResult(status="failed", known_item=is_known, detail=outcome.detail))
            else:
                version = outcome.history_version
                results.append(EventResult(status=outcome.status, history_version=version, known_item=is_known))
        return results


def _parse_event(raw: Any, now_ms: int) -> NewEvent | EventResult:
    """Validate one event of a request; an EventResult for an event that is invalid."""
    try:
        event = _EVENT.validate_python(raw, context={"now_ms": now_ms})
        timestamp_ms = now_ms if event.timestamp is None else event.timestamp
        return NewEvent(event.user_id, event.item_id, timestamp_ms, event.event_id, event.type, event.recommendation_id)
    except ValidationError as error:
        return _build_rejection(list_field_problems(error.errors(include_url=False), MAX_FIELD_ERRORS))
    except InvalidEvent as error:
        return _build_rejection([{"field": "timestamp", "detail": str(error)}])


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
