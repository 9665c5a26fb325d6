"""Convert columns of times to milliseconds since 1970 UTC, with notes on how they were understood.

A number is a Unix time whose size gives its unit (`models/event_times.py`). Text is such a number, a date, or a date
and a time, with or without an offset (RFC 3339, also with a blank, slashes, or without seconds). Dates and times
without an offset, in text and in Parquet alike, are in one time zone, by default UTC.
"""

from dataclasses import dataclass

import polars as pl

from models.data.bad_rows import BadInput
from models.data.time_formats import parse_by_format
from models.event_times import (
    MICROSECONDS_FROM,
    MILLISECONDS_FROM,
    NANOSECONDS_FROM,
    TOO_LARGE_FROM,
    is_date_in_digits,
)

UTC = "UTC"
EXPECTED_TIME = "neither a Unix time nor a date such as 2023-11-14 or 2023-11-14T22:46:53Z"
DATE_DIGIT_RANGES = [(19000101 * 1000, 21001231 * 1000), (190001010000, 210012312359), (19000101000000, 21001231235959)]
"""Milliseconds of 8, 12 and 14 digits of a date that were read as Unix times."""
DATE_DIGITS = "the digits of a date, not a Unix time; write it as 2023-11-14 or 2023-11-14 22:46:53"

ISO_TIME = (
    r"^(?<date>[0-9]{4}[-/][0-9]{2}[-/][0-9]{2})"
    r"(?:[Tt ](?<time>[0-9]{1,2}:[0-9]{2})(?::(?<second>[0-9]{2})(?:[.,](?<fraction>[0-9]+))?)?"
    r"(?: ?(?:(?<zulu>[Zz]|UTC)|(?<sign>[+-])(?<hours>[01][0-9]|2[0-3])(?::?(?<minutes>[0-5][0-9]))?))?)?$"
)


@dataclass(frozen=True, slots=True)
class ParsedTimes:
    """`milliseconds` Int64, null for a value that is not a time, and the conventions that were applied."""

    milliseconds: pl.Series
    conventions: tuple[str, ...] = ()


def is_time_type(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Datetime | pl.Date) or dtype.is_numeric():
        return True
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)


def check_timezone(name: str) -> str:
    """Return the name of a time zone; BadInput if it is not known."""
    if not name:
        raise BadInput("--timezone is empty; use a name such as Europe/Berlin")
    try:
        pl.Series([0]).cast(pl.Datetime("ms")).dt.replace_time_zone(name)
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"--timezone {name!r} is not a time zone; use a name such as Europe/Berlin") from error
    return name


def parse_times(values: pl.Series, timezone: str = UTC, time_format: str | None = None) -> ParsedTimes:
    """Convert a column of times of any type that `is_time_type` accepts; only text is read by a format."""
    dtype = values.dtype
    assert is_time_type(dtype), dtype
    if time_format is not None and isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        parsed = parse_times(parse_by_format(values.cast(pl.String), time_format), timezone)
        return ParsedTimes(parsed.milliseconds, (f"times are read by the format {time_format!r}", *parsed.conventions))
    if isinstance(dtype, pl.Date):
        return ParsedTimes(_localize(values.cast(pl.Datetime("ms")), timezone), (_describe_dates(timezone),))
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            return ParsedTimes(values.dt.timestamp("ms"))
        return ParsedTimes(_localize(values, timezone), (_describe_naive_times(timezone),))
    if dtype.is_integer():
        return _from_integers(values.cast(pl.Int64, strict=False))
    if dtype.is_numeric():
        return _from_floats(values.cast(pl.Float64))
    return _from_text(values.cast(pl.String), timezone)


def find_date_digits(values: pl.Series, milliseconds: pl.Series) -> str | None:
    """Return the first value if every value is a date in digits; `milliseconds` are those of `parse_times`.

    As Unix times, 8 digits of a date are in 1970, 12 digits in 1976, and 14 digits in the future.
    """
    least, most = milliseconds.min(), milliseconds.max()
    if values.dtype.is_temporal() or not isinstance(least, int) or not isinstance(most, int):
        return None
    if not any(low <= least and most <= high for low, high in DATE_DIGIT_RANGES):
        return None
    numbers = values.cast(pl.Int64, strict=False).unique().to_list()
    is_date = all(number is not None and is_date_in_digits(number) for number in numbers)
    return str(values[0]) if is_date else None


def _from_integers(values: pl.Series) -> ParsedTimes:
    x, size = pl.col("x"), pl.col("x").abs()
    largest = max(abs(int(bound or 0)) for bound in (values.min(), values.max()))  # type: ignore[arg-type]
    if largest < MICROSECONDS_FROM:  # as in most logs
        return ParsedTimes(_evaluate(values, pl.when(size < MILLISECONDS_FROM).then(x * 1000).otherwise(x)))
    times = (
        pl.when(size < MILLISECONDS_FROM)
        .then(x * 1000)
        .when(size < MICROSECONDS_FROM)
        .then(x)
        .when(size < NANOSECONDS_FROM)
        .then(x // 1000)
        .otherwise(x // 10**6)
    )
    return ParsedTimes(_evaluate(values, times), _describe_units(values))


def _from_floats(values: pl.Series) -> ParsedTimes:
    x, size = pl.col("x"), pl.col("x").abs()
    times = (
        pl.when(size < MILLISECONDS_FROM)
        .then((x * 1000).round())
        .when(size < MICROSECONDS_FROM)
        .then(x.round())
        .when(size < NANOSECONDS_FROM)
        .then((x / 1000).floor())
        .when(size < TOO_LARGE_FROM)
        .then((x / 10**6).floor())
    )
    # Infinities and NaN are not times.
    finite = _evaluate(values, pl.when(x.is_finite()).then(times).cast(pl.Int64, strict=False))
    return ParsedTimes(finite, _describe_units(values.filter(values.is_finite())))


def _from_text(values: pl.Series, timezone: str) -> ParsedTimes:
    integers = _from_integers(values.cast(pl.Int64, strict=False))
    times, conventions = integers.milliseconds, integers.conventions
    # Slower parsers run only if values remain: most logs have nothing but integers.
    if times.null_count() == values.null_count():
        return integers
    stripped = values.str.strip_chars(" \t")
    for parsed in (
        _from_integers(stripped.cast(pl.Int64, strict=False)),
        _from_iso_text(stripped, timezone),
        _from_floats(stripped.cast(pl.Float64, strict=False)),
    ):
        if (parsed.milliseconds.is_not_null() & times.is_null()).any():
            conventions = (*conventions, *parsed.conventions)
        times = times.zip_with(times.is_not_null(), parsed.milliseconds)
        if times.null_count() == values.null_count():
            break
    return ParsedTimes(times, tuple(dict.fromkeys(conventions)))


def _from_iso_text(values: pl.Series, timezone: str) -> ParsedTimes:
    parts = values.str.extract_groups(ISO_TIME).struct.unnest()
    if parts["date"].null_count() == len(parts):
        return ParsedTimes(pl.Series([None], dtype=pl.Int64).new_from_index(0, len(parts)))
    text = pl.concat_str(
        pl.col("date").str.replace_all("/", "-", literal=True),
        pl.lit("T"),
        pl.col("time").fill_null("00:00"),
        pl.lit(":"),
        pl.col("second").fill_null("00"),
    )
    clock = parts.select(text.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", strict=False)).to_series()
    fraction = pl.col("fraction").fill_null("").str.pad_end(3, "0").str.slice(0, 3).cast(pl.Int64)
    minutes = pl.col("hours").cast(pl.Int64) * 60 + pl.col("minutes").fill_null("0").cast(pl.Int64)
    offset = pl.when(pl.col("sign") == "-").then(-minutes).otherwise(minutes).fill_null(0)
    has_offset = pl.col("sign").is_not_null() | pl.col("zulu").is_not_null()
    local = _localize(clock, timezone)
    times = parts.select(
        pl.when(has_offset).then(clock.dt.timestamp("ms")).otherwise(local) + fraction - offset * 60_000
    ).to_series()
    is_naive = times.is_not_null() & ~parts.select(has_offset).to_series()
    is_date = is_naive & parts["time"].is_null()
    conventions = [_describe_dates(timezone)] if is_date.any() else []
    if (is_naive & ~is_date).any():
        conventions.append(_describe_naive_times(timezone))
    return ParsedTimes(times, tuple(conventions))


def _localize(clock: pl.Series, timezone: str) -> pl.Series:
    """Milliseconds of local times; null for one that the zone skips, the earlier one of two."""
    if timezone == UTC:
        return clock.dt.timestamp("ms")
    return clock.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null").dt.timestamp("ms")


def _describe_dates(timezone: str) -> str:
    other = "" if timezone != UTC else " (--timezone sets another zone)"
    return f"dates without a time are read as midnight {timezone}{other}; events of one day keep file order"


def _describe_naive_times(timezone: str) -> str:
    other = "" if timezone != UTC else " (--timezone sets another zone)"
    return f"times without an offset are read as {timezone}{other}"


def _describe_units(values: pl.Series) -> tuple[str, ...]:
    sizes = values.cast(pl.Float64).abs().drop_nulls()
    notes = []
    if ((sizes >= MICROSECONDS_FROM) & (sizes < NANOSECONDS_FROM)).any():
        notes.append("times of 15 to 17 digits are read as microseconds")
    if ((sizes >= NANOSECONDS_FROM) & (sizes < TOO_LARGE_FROM)).any():
        notes.append("times of 18 or more digits are read as nanoseconds")
    return tuple(notes)


def _evaluate(values: pl.Series, expression: pl.Expr) -> pl.Series:
    """Evaluate an expression of column `x` on a series."""
    return values.alias("x").to_frame().select(expression.alias("x")).to_series()
