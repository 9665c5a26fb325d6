"""Validation of incoming events and their append to the store: an invalid event does not affect the others.

The store provides idempotency, order and trimming.
"""

import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.errors import DamagedHistory, FieldError, InvalidRequest
from app.events.feedback import explain_ignored, take_feedback
from app.events.new_item_sources import AnnouncedSource, ServingVersionSource
from app.events.new_items import NewItemEvents
from app.events.schemas import MAX_FIELD_ERRORS, Event, EventFeedback, EventResult
from app.feedback.counter import FeedbackCounter
from app.feedback.impressions import ImpressionRecorder
from app.history_types import HistoryTypes
from app.http.body_shapes import parse_entry
from app.http.field_problems import FieldProblem, format_detail, list_field_problems, reject_all
from app.inference import AnswerCache, Engine
from app.runtime.pacing import Pacer
from app.stores.errors import InvalidEvent
from app.stores.history import HistoryStore
from app.stores.live_items import LiveItemStore
from app.stores.records import NewEvent
from app.stores.results import AppendResult
from app.telemetry.metrics import EVENT_VISIBLE, EVENTS

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class EventService:
    """Stores events; `history_types` decides by type which of them enter a history.

    Without an engine, as in `nextup consume`, results do not say whether the model knows the item, and new items are
    those that a service has announced.
    """

    def __init__(
        self,
        store: HistoryStore,
        engine: Engine | None,
        history_types: HistoryTypes,
        cache: AnswerCache | None = None,
        feedback: FeedbackCounter | None = None,
        items: LiveItemStore | None = None,
        impressions: ImpressionRecorder | None = None,
    ) -> None:
        self._store = store
        self._engine = engine
        self._history_types = history_types
        self._cache = cache
        self._feedback = feedback
        self._impressions = impressions
        self._new_items = None if items is None else _make_new_items(store, items, engine)

    async def ingest(self, raw_events: Sequence[Any]) -> list[EventResult]:
        """Store the valid events and return one result per event, in order.

        InvalidRequest if every event is invalid; DamagedHistory if that is why none is stored. After StoreUnavailable
        none, some or all of them are stored; it is safe to send the same events again.
        """
        results = await self.ingest_each(raw_events)
        statuses = {result.status for result in results}
        if statuses == {"invalid"}:
            raise reject_all("events", "event", [result.errors for result in results])
        if "failed" in statuses and statuses <= {"failed", "invalid", "ignored"}:
            raise DamagedHistory(next(result.detail for result in results if result.status == "failed"))
        return results

    async def ingest_each(self, raw_events: Sequence[Any]) -> list[EventResult]:
        """Ingest like `ingest`, but return a result for each event even if no event can be stored."""
        started_at, now_ms = time.perf_counter(), time.time_ns() // 1_000_000
        pacer, parsed = Pacer(), []
        for raw in raw_events:
            parsed.append(_parse_event(raw, now_ms))
            await pacer.pause_if_due()
        valid = [event for event in parsed if isinstance(event, NewEvent)]
        events = [event for event in valid if self._history_types.includes(event.type)]
        outcomes = await self._store.append_each(events) if events else []
        if any(isinstance(outcome, AppendResult) for outcome in outcomes):
            EVENT_VISIBLE.observe(time.perf_counter() - started_at)
            self._update_cache(events, outcomes)
            if self._new_items is not None:
                await self._new_items.count(_select_stored(events, outcomes))
        feedback = await take_feedback(valid, self._feedback, self._impressions)
        results = await self._build_results(parsed, outcomes, feedback)
        for status, count in Counter(result.status for result in results).items():
            EVENTS.labels(status).inc(count)
        return results

    async def _build_results(
        self,
        parsed: Sequence[NewEvent | EventResult],
        outcomes: Sequence[AppendResult | DamagedHistory],
        feedback: Sequence[EventFeedback | None],
    ) -> list[EventResult]:
        """Build one result per event.

        `outcomes` are those of the events that enter a history, `feedback` that of the valid events, both in order.
        """
        known = self._select_known([event.item_id for event in parsed if isinstance(event, NewEvent)])
        remaining, next_feedback = iter(outcomes), iter(feedback)
        pacer = Pacer()
        results = []
        for event in parsed:
            await pacer.pause_if_due()
            if isinstance(event, EventResult):
                results.append(event)
                continue
            result = EventResult(status="ignored", feedback=next(next_feedback))
            result.known_item = None if known is None else event.item_id in known
            results.append(result)
            if event.type is not None and not self._history_types.includes(event.type):
                reason = self._history_types.explain_exclusion(event.type)
                result.detail = explain_ignored(reason, event, result.feedback, self._feedback)
                continue
            outcome = next(remaining)
            if isinstance(outcome, DamagedHistory):
                result.status, result.detail = "failed", outcome.detail
            else:
                result.status, result.history_version = outcome.status, outcome.history_version
        return results

    def _update_cache(self, events: Sequence[NewEvent], outcomes: Sequence[AppendResult | DamagedHistory]) -> None:
        """Let the cached answers of these users exclude the items of their events, but not of those that came too late.

        A duplicate counts: the response to the first event may have been lost before this process had it.
        """
        if self._cache is None:
            return
        for event, outcome in zip(events, outcomes, strict=True):
            if isinstance(outcome, AppendResult) and outcome.status != "late" and event.user_id in self._cache:
                self._cache.add_event(event.user_id, event.item_id, outcome.history_version)

    def _select_known(self, item_ids: Sequence[str]) -> Collection[str] | None:
        return None if self._engine is None else self._engine.servable.catalogue.select_known(item_ids)


def _make_new_items(store: HistoryStore, items: LiveItemStore, engine: Engine | None) -> NewItemEvents:
    source = AnnouncedSource(items.cooccurrences) if engine is None else ServingVersionSource(engine)
    return NewItemEvents(store, items.cooccurrences, source)


def _select_stored(events: Sequence[NewEvent], outcomes: Sequence[AppendResult | DamagedHistory]) -> list[NewEvent]:
    """Return the events that were not in the store before."""
    pairs = zip(events, outcomes, strict=True)
    return [event for event, outcome in pairs if isinstance(outcome, AppendResult) and outcome.status == "stored"]


def _parse_event(raw: Any, now_ms: int) -> NewEvent | EventResult:
    """Validate one event of a request; an EventResult for an event that is invalid."""
    try:
        event = _EVENT.validate_python(parse_entry(raw, Event), context={"now_ms": now_ms})
        timestamp_ms = now_ms if event.timestamp is None else event.timestamp
        return NewEvent(
            event.user_id,
            event.item_id,
            timestamp_ms,
            event.event_id,
            event.type,
            event.recommendation_id,
            position=event.position,
        )
    except ValidationError as error:
        return _build_rejection(list_field_problems(error.errors(include_url=False), Event, MAX_FIELD_ERRORS))
    except InvalidRequest as error:  # large, and its shape is wrong
        return _build_rejection(error.errors)
    except InvalidEvent as error:
        return _build_rejection([{"field": "timestamp", "detail": str(error)}])


def _build_rejection(problems: Sequence[FieldError]) -> EventResult:
    problems = [{**problem, "field": "event"} if problem["field"] == "body" else problem for problem in problems]
    errors = [FieldProblem(**problem) for problem in problems]
    return EventResult(status="invalid", detail=format_detail(problems, MAX_FIELD_ERRORS), errors=errors)
