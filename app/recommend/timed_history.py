"""A history in a request whose events carry times: item ids in event-time order, as the store would hold them.

`[{"item_id": "a", "timestamp": 1700000000}, …]` in place of `["a", …]`. Times follow the rules of `POST /events`, equal
events count once, and events of equal time keep the order of the request. So the same events get the same answer,
whether they are stored or sent.
"""

import time
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.http.field_types import MAX_ID_CHARACTERS, Id, read_id
from app.http.timestamps import check_time_range, parse_timestamp
from app.http.unknown_fields import describe_unknown

MAX_TIMED_HISTORY = 2_000
"""Most events with times in one request: some 5 ms of validation."""
MAX_TIME_S = 2**32 - 1
FIELDS = ("item_id", "timestamp")

EventTimes = NDArray[np.uint32]


class TimedItem(BaseModel):
    """One event of a history."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"item_id": "lantern-coast-3", "timestamp": 1_700_000_000}]},
    )

    item_id: Id
    timestamp: float | AwareDatetime = Field(description="as in POST /events")


class TimedShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event as it is parsed from a long body, before its validation."""

    item_id: str | int
    timestamp: str | int | float


HISTORY_SHAPE = list[str | int | TimedShape] | None


class TimedHistory(list[str]):
    """Item ids, oldest first, with the `times` of their events: (n,) Unix seconds."""

    def __init__(self, item_ids: list[str], times: EventTimes) -> None:
        super().__init__(item_ids)
        self.times = times


def get_times(history: list[str]) -> EventTimes | None:
    """Return the times of a history in a request; None if it has item ids only."""
    return history.times if isinstance(history, TimedHistory) else None


def validate_history(value: Any, validate_ids: Callable[[Any], list[str]]) -> list[str]:
    """Validate a list of ids with `validate_ids`, and a list that begins with an object as events with times."""
    if isinstance(value, list) and value and isinstance(value[0], dict | TimedShape):
        return _parse_events(value)
    return validate_ids(value)


def _parse_events(entries: list[Any]) -> TimedHistory:
    if len(entries) > MAX_TIMED_HISTORY:
        _reject((), f"may have at most {MAX_TIMED_HISTORY:,} events with times (got {len(entries):,})", len(entries))
    now_ms = int(time.time() * 1000)
    events = dict.fromkeys(_parse_event(index, entry, now_ms) for index, entry in enumerate(entries))
    ordered = sorted(events, key=lambda event: event[1])
    seconds = np.array([timestamp_ms // 1000 for _, timestamp_ms in ordered], dtype=np.int64)
    return TimedHistory([item_id for item_id, _ in ordered], np.clip(seconds, 0, MAX_TIME_S).astype(np.uint32))


def _parse_event(index: int, entry: Any, now_ms: int) -> tuple[str, int]:
    if isinstance(entry, TimedShape):
        entry = msgspec.structs.asdict(entry)
    if not isinstance(entry, dict):
        _reject((index,), "must be an object with item_id and timestamp, like the first entry", entry)
    for name in entry:  # before missing fields: an unknown one is often the wrong name of a missing one
        if name not in FIELDS:
            _reject((index, name), describe_unknown(name, FIELDS), entry)
    for name in FIELDS:
        if name not in entry:
            _reject((index, name), "Field required", entry)
    try:
        item_id = read_id(entry["item_id"])
    except ValueError as error:
        _reject((index, "item_id"), str(error), entry["item_id"])
    if not isinstance(item_id, str) or not 1 <= len(item_id) <= MAX_ID_CHARACTERS:
        _reject((index, "item_id"), f"must be a text of 1 to {MAX_ID_CHARACTERS} characters, or an integer", item_id)
    try:
        timestamp_ms = parse_timestamp(entry["timestamp"])
        check_time_range(timestamp_ms, now_ms)
    except ValueError as error:
        _reject((index, "timestamp"), str(error), entry["timestamp"])
    return item_id, timestamp_ms


def _reject(place: tuple[int | str, ...], reason: str, value: Any) -> NoReturn:
    error = PydanticCustomError("timed_history", "{reason}", {"reason": reason})
    raise ValidationError.from_exception_data("history", [InitErrorDetails(type=error, loc=place, input=value)])
