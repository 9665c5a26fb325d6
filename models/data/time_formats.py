"""Times in other texts than ISO 8601: read by a format that the user gives, which a failed read suggests.

A format has the directives of C's strftime, as chrono and polars understand them. `01/02/2024` has two readings, so no
format is ever applied unasked.
"""

import polars as pl

from models.data.bad_rows import BadInput

OPTION = "--time-format"
SAMPLE_TIMES = 10_000
MIN_SHARE = 0.9
"""Of the times of a log that a format must read; the others are bad rows."""
DATES = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y"),
    *("%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%Y"),
)
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S%.f", ", %H:%M", ", %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
OTHERS = (
    *("%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %Y", "%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S"),
    *("%Y.%m.%d", "%Y.%m.%d %H:%M:%S"),
)
WITH_YEAR = ("%Y", "%y", "%F", "%D", "%s", "%x", "%c", "%v", "%+", "%G", "%C")
FIRST_YEAR = 1970
FIRST_TIMES = 50
"""Times of which a format must read one, before all are tried."""
FORMATS = (*(date + clock for date in DATES for clock in CLOCKS), *OTHERS)


class UnknownTimes(BadInput):
    """No time of a log was understood; `formats` are those that fit all of them."""

    def __init__(self, message: str, formats: tuple[str, ...]) -> None:
        super().__init__(message)
        self.formats = formats


def check_time_format(text: str) -> str:
    """Return a format of times; BadInput if it is not one, or has no year."""
    if not any(directive in text for directive in WITH_YEAR):
        raise BadInput(f"{OPTION} {text!r} has no year; write a format such as '%d.%m.%Y %H:%M'")
    try:
        pl.Series(["x"]).str.to_datetime(text, time_unit="ms", strict=False)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{OPTION} {text!r} is not a format: {reason}; write one such as '%d.%m.%Y %H:%M'") from error
    return text


def parse_by_format(values: pl.Series, time_format: str) -> pl.Series:
    """Convert texts to a Datetime in milliseconds, with a time zone if the format has one; null where one differs."""
    return values.str.strip_chars(" \t").str.to_datetime(time_format, time_unit="ms", strict=False)


def find_time_formats(values: pl.Series) -> tuple[str, ...]:
    """Return the formats that read the most texts; more than one if the order of day and month is open.

    Empty texts do not count. A format must read 90 % of the texts, because a log may have bad rows.
    """
    if values.dtype != pl.String:
        return ()
    sample = values.drop_nulls().head(SAMPLE_TIMES).unique(maintain_order=True)
    sample = sample.filter(sample.str.strip_chars(" \t") != "")
    first = sample.head(FIRST_TIMES)
    readings: dict[str, pl.Series] = {}
    for time_format in FORMATS if len(sample) else ():
        if _count_plausible(parse_by_format(first, time_format)) == 0:
            continue
        times = parse_by_format(sample, time_format)
        is_new = not any(times.dtype == earlier.dtype and times.equals(earlier) for earlier in readings.values())
        if is_new and _count_plausible(times) >= MIN_SHARE * len(sample):
            readings[time_format] = times
    counts = {time_format: _count_plausible(times) for time_format, times in readings.items()}
    return tuple(time_format for time_format, count in counts.items() if count == max(counts.values()))


def _count_plausible(times: pl.Series) -> int:
    return int((times.dt.year() >= FIRST_YEAR).sum())


def describe_time_formats(formats: tuple[str, ...]) -> str:
    """A hint for an error message; empty without a format."""
    return f"; read them with {OPTION} {' or '.join(repr(each) for each in formats)}" if formats else ""
