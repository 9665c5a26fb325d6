"""Times of events as Unix milliseconds: numbers by their size, or RFC 3339 with an offset.

A number is seconds below 1e11, milliseconds below 1e14, microseconds below 1e17, else nanoseconds. From March 1973 on
the ranges do not overlap, and plain ranks (0, 1, 2, …) count as seconds.
"""

import math
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

MILLISECONDS_FROM, MICROSECONDS_FROM, NANOSECONDS_FROM = 10**11, 10**14, 10**17
MAX_FUTURE_MS = 24 * 3600 * 1000
"""How far an event may be ahead of this clock; one further ahead would remain the newest of its history."""
EXPECTED = "must be a Unix time (seconds, or milli-, micro- or nanoseconds) or RFC 3339 such as 2023-11-14T22:13:20Z"

_DATETIME: TypeAdapter[datetime] = TypeAdapter(datetime)


def parse_timestamp(value: object) -> int:
    """Convert a time of a request to Unix milliseconds; ValueError for a value that is not a time."""
    if isinstance(value, datetime):
        return _convert_datetime(value, value.isoformat())
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return _parse_text(value)
        return _convert_number(number)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(EXPECTED)
    return _convert_number(value)


def check_not_in_future(timestamp_ms: int, now_ms: int) -> None:
    if timestamp_ms > now_ms + MAX_FUTURE_MS:
        raise ValueError("more than a day in the future; the unit of a number is determined by its size")


def _convert_number(value: float) -> int:
    size = abs(value)
    if not size < math.inf:  # NaN too; math.isfinite raises OverflowError for large integers
        raise ValueError("must be a finite number")
    if size < MILLISECONDS_FROM:
        return round(value * 1000)
    if size < MICROSECONDS_FROM:
        return round(value)
    divisor = 1000 if size < NANOSECONDS_FROM else 1_000_000
    return value // divisor if isinstance(value, int) else round(value / divisor)


def _parse_text(text: str) -> int:
    try:
        return _convert_datetime(_DATETIME.validate_python(text), text)
    except ValidationError:
        raise ValueError(EXPECTED) from None


def _convert_datetime(time: datetime, text: str) -> int:
    if time.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no offset from UTC; append Z for UTC, or an offset such as +01:00")
    return round(time.timestamp() * 1000)
