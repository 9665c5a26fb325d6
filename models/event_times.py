"""The rule of event times that files and `POST /events` share: units by size, and a bound on the future.

The size of a number gives its unit. The limits are the year 5138 in one unit and March 1973 in the next, and plain
ranks (0, 1, 2, …) count as seconds. An event that is far ahead of the clock would stay the newest of its history.
"""

import math

MILLISECONDS_FROM = 10**11
MICROSECONDS_FROM = 10**14
NANOSECONDS_FROM = 10**17
TOO_LARGE_FROM = 10**20
MAX_FUTURE_MS = 24 * 3600 * 1000
"""How far an event may be ahead of the clock."""

# Divisors of whole numbers: the digits of a date, such as 20231114 or 20231114224653.
_DATE_DIGITS = {8: (10**4, 100, 1), 10: (10**6, 10**4, 100), 12: (10**8, 10**6, 10**4), 14: (10**10, 10**8, 10**6)}


def scale_to_milliseconds(number: float) -> int:
    """Convert a Unix time in seconds, milliseconds, microseconds or nanoseconds; ValueError if it is in none of them.

    Fractions of a second are rounded, because 0.123 × 1000 may be slightly below 123; finer units are cut off.
    """
    size = abs(number)
    if not size < TOO_LARGE_FROM:  # also NaN
        raise ValueError("not a Unix time")
    if size < MILLISECONDS_FROM:
        return round(number * 1000)
    if size < MICROSECONDS_FROM:
        return round(number)
    divisor = 1000 if size < NANOSECONDS_FROM else 10**6
    # A float is divided before it is cut off, as in files: `//` takes a millisecond off one that was rounded down.
    return int(number // divisor) if isinstance(number, int) else math.floor(number / divisor)


def is_date_in_digits(number: int) -> bool:
    """Whether a number is a date written without separators, which would be a wrong Unix time."""
    length = len(str(abs(number)))
    if length == 17:  # with milliseconds
        number, length = number // 1000, 14
    if number < 0 or length not in _DATE_DIGITS:
        return False
    years, months, days = _DATE_DIGITS[length]
    seconds = [number // 100**place % 100 for place in range((length - 8) // 2)]
    return (
        1900 <= number // years <= 2100
        and 1 <= number // months % 100 <= 12
        and 1 <= number // days % 100 <= 31
        and all(value < 60 for value in seconds)
    )
