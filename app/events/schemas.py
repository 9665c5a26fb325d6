"""Request and response bodies of /events."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SkipValidation, StringConstraints

from app.http.field_types import Id

MAX_EVENTS = 1000
Text = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Event(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"user_id": "ada", "item_id": "lantern-coast-3"}]}
    )

    user_id: Id
    item_id: Id
    timestamp: float | AwareDatetime | None = Field(
        default=None,
        description="Unix seconds, or milliseconds from 1e11 on, or RFC 3339; the time of arrival if absent",
    )
    event_id: Id | None = Field(
        default=None, description="identity of the event, which takes effect once however often it is sent"
    )
    recommendation_id: Text | None = Field(default=None, description="id of the recommendation that led to this event")
    type: Text | None = Field(default=None, description="any label, such as view or buy")


class EventsRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    # Validated one by one in the service: an event that is wrong is `invalid`, and the others are stored.
    events: Annotated[list[SkipValidation[Event]], Field(min_length=1, max_length=MAX_EVENTS)]


class EventResult(BaseModel):
    status: Literal["stored", "duplicate", "late", "invalid"]
    history_version: int | None = Field(
        default=None, description="version of the history after this event; absent if it is invalid"
    )
    detail: str | None = Field(default=None, description="why the event is invalid")


class EventsResponse(BaseModel):
    results: list[EventResult] = Field(description="one per event, in the order of the request")
    stored: int
    duplicate: int
    late: int
    invalid: int
