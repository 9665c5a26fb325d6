"""Request and response bodies of /events."""

from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SkipValidation,
    StringConstraints,
    ValidationInfo,
)

from app.feedback_kinds import Kind
from app.http.field_problems import FieldProblem
from app.http.field_types import Id, NewId
from app.http.timestamps import check_time_range, parse_timestamp
from app.stores.records import MAX_POSITION

MAX_EVENTS = 1000
MAX_FIELD_ERRORS = 10
"""Most invalid fields that the result of one event lists."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=128)]


def _parse_time(value: object, info: ValidationInfo) -> int:
    assert info.context is not None, "validation of events needs the current time"
    timestamp_ms = parse_timestamp(value)
    check_time_range(timestamp_ms, info.context["now_ms"])
    return timestamp_ms


Time = Annotated[int, PlainValidator(_parse_time, json_schema_input_type=float | AwareDatetime)]
"""A time as Unix milliseconds; the validation context holds the current time as `now_ms`."""


class Event(BaseModel):
    """One interaction of a user with an item."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"user_id": "ada", "item_id": "lantern-coast-3"}]}
    )

    user_id: NewId
    item_id: Id
    timestamp: Time | None = Field(
        default=None,
        description="Unix time in seconds, milliseconds (from 1e11 on), microseconds (from 1e14 on) or nanoseconds "
        "(from 1e17 on), or RFC 3339 with an offset; the time of arrival if absent",
    )
    event_id: Id | None = Field(
        default=None, description="identity of the event, which takes effect once however often it is sent"
    )
    recommendation_id: Text | None = Field(default=None, description="id of the recommendation that led to this event")
    position: int | None = Field(
        default=None, ge=1, le=MAX_POSITION, description="place of the item in the answer, from 1"
    )
    type: Text | None = Field(
        default=None, description="any label, such as view or buy; NEXTUP_HISTORY_TYPES decides which are stored"
    )


class EventsRequest(BaseModel):
    """1 to 1,000 events."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {"user_id": "ada", "item_id": "lantern-coast-3"},
                        {"user_id": "bob", "item_id": "i9", "type": "buy"},
                    ]
                }
            ]
        },
    )

    # Validated one by one in the service: an event that is wrong is `invalid`, and the others are stored.
    events: Annotated[list[SkipValidation[Event]], Field(min_length=1, max_length=MAX_EVENTS)]


class EventFeedback(BaseModel):
    """What an event is as feedback on the answer that its `recommendation_id` names."""

    kind: Kind = Field(description="by its type and NEXTUP_FEEDBACK_TYPES")
    counted: bool = Field(
        description="whether it is in the figures of click-through, once however often it is sent; not with the id of "
        "another service, of users of benchmarks, or while Redis is away"
    )
    remembered: bool = Field(description="whether it is remembered for `rotate`; not while Redis is away")


class EventResult(BaseModel):
    """Outcome of one event."""

    status: Literal["stored", "duplicate", "late", "invalid", "ignored", "failed"] = Field(
        description="ignored: valid, but its type does not enter histories, so it is not stored there; `feedback` says "
        "whether it counts otherwise; failed: the stored history of the user is damaged"
    )
    history_version: int | None = Field(
        default=None, description="version of the history after this event; absent if it is not stored"
    )
    known_item: bool | None = Field(
        default=None, description="whether the serving model knows the item; absent if the event is invalid"
    )
    feedback: EventFeedback | None = Field(
        default=None, description="absent if the type of the event is no feedback, or it names no recommendation"
    )
    detail: str | None = Field(default=None, description="why the event is not stored")
    errors: list[FieldProblem] | None = Field(
        default=None, max_length=MAX_FIELD_ERRORS, description="invalid fields of the event"
    )


_MISSING = {"field": "item_id", "detail": "Field required"}
_RESPONSE: dict[str, Any] = {
    "results": [
        {"status": "stored", "history_version": 97, "known_item": True},
        {"status": "invalid", "detail": "item_id: Field required", "errors": [_MISSING]},
        {
            "status": "ignored",
            "known_item": True,
            "feedback": {"kind": "impression", "counted": True, "remembered": True},
            "detail": "type 'impression' is not a choice of the item, so the event is not stored; "
            "NEXTUP_HISTORY_TYPES sets the types that are; it counts as feedback on its recommendation",
        },
    ],
    "stored": 1,
    "duplicate": 0,
    "late": 0,
    "invalid": 1,
    "ignored": 1,
    "failed": 0,
}


class EventsResponse(BaseModel):
    """Outcome of each event, and how often each outcome occurred."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RESPONSE]})

    results: list[EventResult] = Field(description="one per event, in the order of the request")
    stored: int
    duplicate: int
    late: int
    invalid: int
    ignored: int
    failed: int
