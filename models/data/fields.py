"""Valid ids and times of log rows, and their conversion.

An id is text of 1 to 128 characters or an integer, which is converted to its digits. U+FFFD in an id means that a
decoder replaced invalid UTF-8.

A number is a Unix time: milliseconds from ±1e11 on, below that seconds, also with a fraction. The limit is the year
5138 in seconds and March 1973 in milliseconds, and plain ranks (0, 1, 2, …) count as seconds. Text is such a number, or
RFC 3339 with an offset. A Parquet datetime without a zone is UTC. All times become milliseconds since 1970 UTC.
"""

from collections.abc import Callable

import polars as pl

MAX_ID_CHARS = 128
REPLACEMENT = "\ufffd"
MILLISECONDS_FROM = 1e11
MAX_MILLISECONDS = 2**53
EXPECTED_TIME = "neither Unix seconds or milliseconds nor RFC 3339 with an offset (Z or ±hh:mm)"

# RFC 3339, and the offset without a colon that polars writes.
RFC_3339 = (
    r"^(?<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?<fraction>[0-9]+))?"
    r"(?:[Zz]|(?<sign>[+-])(?<hours>[01][0-9]|2[0-3]):?(?<minutes>[0-5][0-9]))$"
)


def is_id_type(dtype: pl.DataType) -> bool:
    return dtype.is_integer() or isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)


def is_time_type(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Datetime | pl.Date) or dtype.is_numeric():
        return True
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)


def find_id_faults(name: str) -> pl.Expr:
    """Expression for the fault of each id in column `name`; null for valid ids."""
    x = pl.col(name)
    return pl.coalesce(
        pl.when(x.is_null() | (x == "")).then(pl.lit(f"no {name}")),
        pl.when(x.str.len_chars() > MAX_ID_CHARS).then(pl.lit(f"{name} is longer than {MAX_ID_CHARS} characters")),
        pl.when(x.str.contains(REPLACEMENT, literal=True)).then(pl.lit(f"{name} is not valid UTF-8")),
    )


def parse_json_id(value: object, name: str) -> str | None:
    """Convert a JSON value to an id, None if missing; ValueError for other types."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.0 is the integer 1 in JSON
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name} is neither a string nor an integer")
    return replace_lone_surrogates(str(value))


def replace_lone_surrogates(text: str) -> str:
    """Replace lone surrogates by U+FFFD: JSON can contain them, UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def to_milliseconds(values: pl.Series) -> pl.Series:
    """Convert times to Int64 milliseconds; null for invalid times and those over 2^53 ms from 1970."""
    dtype = values.dtype
    assert is_time_type(dtype), dtype
    if isinstance(dtype, pl.Datetime | pl.Date):
        times = values.dt.timestamp("ms")
    elif dtype.is_integer():
        times = _from_integers(values.cast(pl.Int64, strict=False))
    elif dtype.is_numeric():
        times = _from_floats(values.cast(pl.Float64))
    else:
        times = _from_text(values.cast(pl.String))
    return _evaluate(times, pl.when(pl.col("x").is_between(-MAX_MILLISECONDS, MAX_MILLISECONDS)).then(pl.col("x")))


def _from_integers(values: pl.Series) -> pl.Series:
    x = pl.col("x")
    is_seconds = x.is_between(-MILLISECONDS_FROM, MILLISECONDS_FROM, closed="none")
    return _evaluate(values, pl.when(is_seconds).then(x * 1000).otherwise(x))


def _from_floats(values: pl.Series) -> pl.Series:
    x = pl.col("x")
    times = pl.when(x.abs() < MILLISECONDS_FROM).then(x * 1000).otherwise(x)
    # Rounded, not truncated: 0.123 × 1000 may be slightly below 123. Infinities and NaN are not times.
    return _evaluate(values, pl.when(x.is_finite()).then(times.round()).cast(pl.Int64, strict=False))


def _from_float_text(values: pl.Series) -> pl.Series:
    return _from_floats(values.cast(pl.Float64, strict=False))


def _from_text(values: pl.Series) -> pl.Series:
    times = _from_integers(values.cast(pl.Int64, strict=False))
    # Slower parsers run only if values remain: most logs have nothing but integers.
    parsers: tuple[Callable[[pl.Series], pl.Series], ...] = (_from_rfc_3339, _from_float_text)
    for parse in parsers:
        if times.null_count() == values.null_count():
            break
        times = times.zip_with(times.is_not_null(), parse(values))
    return times


def _from_rfc_3339(values: pl.Series) -> pl.Series:
    parts = values.str.extract_groups(RFC_3339).struct.unnest()
    second = (pl.col("date") + "T" + pl.col("time")).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", strict=False)
    fraction = pl.col("fraction").fill_null("").str.pad_end(3, "0").str.slice(0, 3).cast(pl.Int64)
    minutes = pl.col("hours").cast(pl.Int64) * 60 + pl.col("minutes").cast(pl.Int64)
    offset = pl.when(pl.col("sign") == "-").then(-minutes).otherwise(minutes).fill_null(0)
    return parts.select(second.dt.timestamp("ms") + fraction - offset * 60_000).to_series()


def _evaluate(values: pl.Series, expression: pl.Expr) -> pl.Series:
    """Evaluate an expression of column `x` on a series."""
    return values.alias("x").to_frame().select(expression.alias("x")).to_series()
