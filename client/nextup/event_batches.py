"""A batch of a buffer: sends events and decides which are settled, which are dropped and which stay."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from nextup import routes
from nextup.client import Client
from nextup.errors import InvalidRequest
from nextup.event_counts import DroppedEvent, DropReason
from nextup.models import EventsResponse
from nextup.spool import EventKey

TOO_LARGE = 413
DROPPED_RESULTS: Mapping[str, DropReason] = {"invalid": "invalid", "failed": "failed"}
"""Results after which an event would have the same result again."""


@dataclass(slots=True)
class BatchOutcome:
    """Statuses of the service by event, and the events that are given up; all of them are settled."""

    statuses: list[str] = field(default_factory=list)
    dropped: list[DroppedEvent] = field(default_factory=list)


def select_batch(pending: Mapping[EventKey, bytes], max_events: int, max_bytes: int) -> dict[EventKey, bytes]:
    """Select the oldest events, at least one of them."""
    batch: dict[EventKey, bytes] = {}
    size = 0
    for key, payload in pending.items():
        size += len(payload) + 1
        if batch and (len(batch) >= max_events or size > max_bytes):
            break
        batch[key] = payload
    return batch


def send_batch(client: Client, events: list[bytes], deadline_s: float) -> BatchOutcome:
    """Send events; an error of the client means that they stay, whether the service has them or not."""
    body = b'{"events":[' + b",".join(events) + b"]}"
    try:
        answer = client.call(routes.INGEST_EVENTS, body=body, deadline_s=deadline_s)
    except InvalidRequest as error:
        if error.status != TOO_LARGE:  # no event is valid
            details = _find_details(error)
            return BatchOutcome(
                dropped=[
                    _drop(event, "invalid", details.get(number, error.detail)) for number, event in enumerate(events)
                ]
            )
        if len(events) == 1:
            return BatchOutcome(dropped=[_drop(events[0], "too_large", error.detail)])
        half = len(events) // 2
        first = send_batch(client, events[:half], deadline_s)
        second = send_batch(client, events[half:], deadline_s)
        return BatchOutcome(first.statuses + second.statuses, first.dropped + second.dropped)
    return BatchOutcome(
        [result.status for result in answer.results if result.status not in DROPPED_RESULTS],
        list(_list_dropped(events, answer)),
    )


def _find_details(error: InvalidRequest) -> dict[int, str]:
    """Find the first invalid field of each event, by its number; the fields are named such as `events.3.item_id`."""
    details: dict[int, str] = {}
    for problem in error.errors:
        _, _, path = problem.field.partition("events.")
        number, _, field = path.partition(".")
        if number.isdigit():
            details.setdefault(int(number), f"{field}: {problem.detail}")
    return details


def _list_dropped(events: list[bytes], answer: EventsResponse) -> Iterator[DroppedEvent]:
    for event, result in zip(events, answer.results, strict=True):
        if (reason := DROPPED_RESULTS.get(result.status)) is not None:
            yield _drop(event, reason, result.detail or result.status)


def _drop(event: bytes, reason: DropReason, detail: str) -> DroppedEvent:
    return DroppedEvent(msgspec.json.decode(event), reason, detail)
