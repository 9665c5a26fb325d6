"""Messages become events of `POST /events`, with an identity and a time where they have none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.streaming.messages import MAX_MESSAGE_BYTES, Message, PoisonMessage, parse_message


def make_message(value: bytes | None, **fields: Any) -> Message:
    return Message(value, **{"source": "kafka:events", "partition": "3", "offset": "17"} | fields)


def make_event_message(event: Any, **fields: Any) -> Message:
    return make_message(json.dumps(event).encode(), **fields)


def test_event_keeps_its_own_id_and_time() -> None:
    event = {"user_id": "u", "item_id": "i", "event_id": "mine", "timestamp": 5}
    assert parse_message(make_event_message(event, timestamp_ms=1_700_000_000_000)) == event


@pytest.mark.parametrize("absent", [{}, {"event_id": None, "timestamp": None}])
def test_event_without_id_and_time_gets_them_from_its_message(absent: dict[str, None]) -> None:
    message = make_event_message({"user_id": "u", "item_id": "i"} | absent, timestamp_ms=1_700_000_000_000)
    event = parse_message(message)
    assert event == parse_message(message), "a message that is delivered again is the same event"
    assert event["timestamp"] == 1_700_000_000_000
    assert len(event["event_id"]) <= 128


@pytest.mark.parametrize("timestamp_ms", [None, 1, 99_999_999_999])
def test_event_has_no_time_where_that_of_its_message_would_be_read_as_seconds(timestamp_ms: int | None) -> None:
    assert "timestamp" not in parse_message(make_event_message({"user_id": "u"}, timestamp_ms=timestamp_ms))


positions = st.tuples(
    st.sampled_from(["kafka:events", "kafka:event", "redis:events", "kafka:" + "x" * 249]),
    st.integers(0, 12).map(str),
    st.integers(0, 2**63).map(str) | st.sampled_from(["1-0", "10-0", "1-10"]),
    st.sampled_from([None, 1, 1_700_000_000_000, 2**62]),
)


@given(positions, positions)
def test_derived_ids_are_equal_only_for_the_same_position(first: Any, second: Any) -> None:
    fields = ("source", "partition", "offset", "timestamp_ms")
    ids = [
        make_message(b"", **dict(zip(fields, position, strict=True))).derived_event_id for position in (first, second)
    ]
    assert (ids[0] == ids[1]) == (first == second)
    assert all(1 <= len(each) <= 128 for each in ids)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the message has no value"),
        (b"", "the message is not JSON: Expecting value at character 0"),
        (b'{"user_id": ', "the message is not JSON: Expecting value at character 12"),
        (b"\xff\xfe\xfd", "the message is not JSON: it is not UTF-8"),
        (b"[" * 60_000, "the message is not JSON: nested too deeply, or a number is too long"),
        (b"9" * 60_000, "the message is not JSON: nested too deeply, or a number is too long"),
        (b'"' + b"x" * MAX_MESSAGE_BYTES + b'"', "the message has 65,538 bytes, more than 65,536"),
    ],
)
def test_message_that_is_not_json_is_poison(value: bytes | None, reason: str) -> None:
    with pytest.raises(PoisonMessage) as caught:
        parse_message(make_message(value))
    assert str(caught.value) == reason


@pytest.mark.parametrize("event", [[], "text", 7, None])
def test_json_that_is_no_object_is_left_to_the_check_of_events(event: Any) -> None:
    assert parse_message(make_event_message(event)) == event
