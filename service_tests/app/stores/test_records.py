"""Records: encoding round-trips, invalid events are rejected, and identities do not collide."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stores.errors import InvalidEvent
from app.stores.records import (
    MAX_POSITION,
    MAX_TIMESTAMP_MS,
    HistoryEvent,
    NewEvent,
    compute_identity,
    decode_records,
    split_records,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)
new_events = st.builds(
    NewEvent,
    user_id=st.just("u"),
    item_id=texts,
    timestamp_ms=st.integers(-MAX_TIMESTAMP_MS, MAX_TIMESTAMP_MS),
    event_id=st.none() | texts,
    type=st.none() | texts,
    recommendation_id=st.none() | texts,
    position=st.none() | st.integers(1, MAX_POSITION),
)


@given(st.lists(new_events, max_size=5))
def test_records_decode_to_their_events(events: list[NewEvent]) -> None:
    expected = [
        HistoryEvent(
            e.item_id,
            e.timestamp_ms,
            e.type,
            e.recommendation_id if e.position is None else e.recommendation_id or None,
            position=e.position,
        )
        for e in events
    ]
    joined = b"".join(event.record for event in events)
    assert list(decode_records(joined)) == expected
    assert split_records(joined) == [event.record for event in events]


def test_position_leaves_the_item_id_where_earlier_releases_read_it() -> None:
    for recommendation_id in (None, "r1"):
        record = NewEvent("u", "item", 5, None, "click", recommendation_id, position=7).record
        (without_flag,) = decode_records(record[:16] + bytes([record[16] & 0b111]) + record[17:])
        assert (without_flag.item_id, without_flag.type) == ("item", "click")


def test_event_id_does_not_collide_with_item_and_time() -> None:
    assert compute_identity(NewEvent("u", "a", 5)) != compute_identity(NewEvent("u", "a", 5, event_id="5:a"))


def test_item_and_time_are_separated_in_the_identity() -> None:
    assert compute_identity(NewEvent("u", "1:a", 5)) != compute_identity(NewEvent("u", "a", 51))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"item_id": "a" * 129}, "item_id is longer than 128 characters"),
        ({"timestamp_ms": 2**53 + 1}, "timestamp 9007199254740993 is out of range"),
        ({"type": "t" * 129}, "type is longer than 128 characters"),
        ({"item_id": "\udfff"}, "item_id is not valid Unicode text"),
        ({"position": 0}, "position must be between 1 and 10,000"),
        ({"event_id": "\udfff"}, "event_id is not valid Unicode text"),
    ],
)
def test_event_that_the_format_cannot_hold_is_rejected(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEvent, match=message):
        NewEvent(**{"user_id": "u", "item_id": "a", "timestamp_ms": 0, **fields})
