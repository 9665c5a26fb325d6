"""Times of events as Unix milliseconds: numbers by their size, as in files, or RFC 3339 with an offset."""

import math
import re
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from models.event_times import MAX_FUTURE_MS, TOO_LARGE_FROM, scale_to_milliseconds

EXPECTED = "must be a Unix time (seconds, or milli-, micro- or nanoseconds) or RFC 3339 such as 2023-11-14T22:13:20Z"
MAX_AGE_MS = 2**53
"""Oldest time that the store holds exactly, before 1970."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DATETIME: TypeAdapter[datetime] = TypeAdapter(datetime)


def parse_timestamp(value: object) -> int:
    """Convert a time of a request to Unix milliseconds; ValueError for a value that is not a time."""
    if isinstance(value, datetime):
        return _convert_datetime(value, value.isoformat())
    if isinstance(value, str):
        if _INTEGER.fullmatch(value):
            return _convert_number(int(value))  # exact, where a float is not
        try:
            number = float(value)
        except ValueError:
            return _parse_text(value)
        return _convert_number(number)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(EXPECTED)
    return _convert_number(value)


def check_time_range(timestamp_ms: int, now_ms: int) -> None:
    """Raise ValueError for a time that no event can have."""
    if timestamp_ms < -MAX_AGE_MS:
        raise ValueError("out of range: more than 280,000 years before 1970")
    if timestamp_ms > now_ms + MAX_FUTURE_MS:
        raise ValueError("more than a day in the future; the unit of a number is determined by its size")


def _convert_number(value: float) -> int:
    if not abs(value) < math.inf:  # NaN too; math.isfinite raises OverflowError for large integers
        raise ValueError("must be a finite number")
    # The check of the range names what is wrong with a number beyond all units.
    return scale_to_milliseconds(value) if abs(value) < TOO_LARGE_FROM else int(value // 10**6)


def _parse_text(text: str) -> int:
    try:
        return _convert_datetime(_DATETIME.validate_python(text), text)
    except ValidationError:
        raise ValueError(EXPECTED) from None


def _convert_datetime(time: datetime, text: str) -> int:
    if time.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no offset from UTC; append Z for UTC, or an offset such as +01:00")
    return (time - _EPOCH) // timedelta(milliseconds=1)  # cut off, as in files
