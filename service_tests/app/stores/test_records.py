"""Records: what is written is read back, and identities do not run into each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.stores.records import MAX_TIMESTAMP_MS, HistoryEvent, NewEvent, compute_identity, decode, encode

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)
new_events = st.builds(
    NewEvent,
    user_id=st.just("u"),
    item_id=texts,
    timestamp_ms=st.integers(-MAX_TIMESTAMP_MS, MAX_TIMESTAMP_MS),
    event_id=st.none() | texts,
    type=st.none() | texts,
    recommendation_id=st.none() | texts,
)


@given(st.lists(new_events, max_size=5))
def test_every_event_reads_back_as_it_was_written(events: list[NewEvent]) -> None:
    expected = [HistoryEvent(e.item_id, e.timestamp_ms, e.type, e.recommendation_id) for e in events]
    assert list(decode(b"".join(map(encode, events)))) == expected


def test_an_event_id_cannot_pose_as_an_item_at_a_time() -> None:
    assert compute_identity(NewEvent("u", "a", 5)) != compute_identity(NewEvent("u", "a", 5, event_id="5:a"))


def test_item_and_time_do_not_run_into_each_other() -> None:
    assert compute_identity(NewEvent("u", "1:a", 5)) != compute_identity(NewEvent("u", "a", 51))


@pytest.mark.parametrize(
    "event",
    [
        NewEvent("u", "a" * 129, 0),
        NewEvent("u", "a", 2**53 + 1),
        NewEvent("u", "a", 0, type="t" * 129),
        NewEvent("u", "\udfff", 0),
        NewEvent("u", "a", 0, event_id="\udfff"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(event: NewEvent) -> None:
    with pytest.raises(InvalidRequest):
        encode(event)
