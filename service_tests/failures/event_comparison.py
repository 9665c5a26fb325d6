"""Compare stored events with those that were acknowledged. An event is its item and its number."""

from collections import Counter
from collections.abc import Mapping, Sequence

from service_tests.failures.fail_over_http import FIRST_S

FAULTS = ("lost", "doubled", "unexpected", "out_of_order")
Event = tuple[str, int]


def compare_events(expected: Mapping[str, Sequence[Event]], actual: Mapping[str, Sequence[Event]]) -> dict[str, int]:
    """Count events that are missing, that are there twice, and users whose events are in another order."""
    counts = dict.fromkeys(FAULTS, 0)
    for user, events in expected.items():
        stored_events = list(actual.get(user, ()))
        stored = Counter(stored_events)
        counts["lost"] += len(set(events) - set(stored))
        counts["doubled"] += stored.total() - len(stored)
        counts["unexpected"] += len(set(stored) - set(events))
        counts["out_of_order"] += stored_events != sorted(stored_events, key=lambda event: event[1])
    return counts


def parse_history(body: dict[str, list[dict[str, int | str]]]) -> list[Event]:
    """Return the events of an answer of `GET /users/{id}/history`."""
    return [(str(event["item_id"]), int(event["timestamp"]) // 1000 - FIRST_S) for event in body["events"]]
