"""When something happened, as a log may say it, in milliseconds since 1970 UTC. It knows no files and no users.

Numbers are Unix times: from ±1e11 on milliseconds, below that seconds, also with a fraction. The border is seconds of
the year 5138 and milliseconds of March 1973, and plain ranks (0, 1, 2, …) fall on the side of seconds. Text is such a
number or RFC 3339 with an offset. A date and time of Parquet without a zone is UTC.
"""

import polars as pl

MILLISECONDS_FROM = 1e11
MAX_MILLISECONDS = 2**53
EXPECTED = "neither Unix seconds or milliseconds nor RFC 3339 with an offset (Z or ±hh:mm)"

# RFC 3339, and the offset without a colon that polars writes.
RFC_3339 = (
    r"^(?<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?<fraction>[0-9]+))?"
    r"(?:[Zz]|(?<sign>[+-])(?<hours>[01][0-9]|2[0-3]):?(?<minutes>[0-5][0-9]))$"
)


def can_be_time(dtype: pl.DataType) -> bool:
    is_point = isinstance(dtype, pl.Datetime | pl.Date)
    return is_point or dtype.is_numeric() or isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)


def to_milliseconds(values: pl.Series) -> pl.Series:
    """Int64 milliseconds; null where a value is no time, or further than 2^53 ms from 1970."""
    dtype = values.dtype
    assert can_be_time(dtype), dtype
    if isinstance(dtype, pl.Datetime | pl.Date):
        moments = values.dt.timestamp("ms")
    elif dtype.is_integer():
        moments = _from_whole(values.cast(pl.Int64, strict=False))
    elif dtype.is_numeric():
        moments = _from_fraction(values.cast(pl.Float64))
    else:
        moments = _from_text(values.cast(pl.String))
    return _evaluate(moments, pl.when(pl.col("x").is_between(-MAX_MILLISECONDS, MAX_MILLISECONDS)).then(pl.col("x")))


def _from_whole(values: pl.Series) -> pl.Series:
    x = pl.col("x")
    seconds = x.is_between(-MILLISECONDS_FROM, MILLISECONDS_FROM, closed="none")
    return _evaluate(values, pl.when(seconds).then(x * 1000).otherwise(x))


def _from_fraction(values: pl.Series) -> pl.Series:
    x = pl.col("x")
    moments = pl.when(x.abs() < MILLISECONDS_FROM).then(x * 1000).otherwise(x)
    # Rounded, not cut: 0.123 × 1000 may be a hair below 123. Infinities and not-a-number are no times.
    return _evaluate(values, pl.when(x.is_finite()).then(moments.round()).cast(pl.Int64, strict=False))


def _from_text(values: pl.Series) -> pl.Series:
    moments = _from_whole(values.cast(pl.Int64, strict=False))
    # Each further way only where the ones before it left something: most logs hold nothing but whole numbers.
    for read in (_from_rfc_3339, lambda rest: _from_fraction(rest.cast(pl.Float64, strict=False))):
        if moments.null_count() == values.null_count():
            break
        moments = moments.zip_with(moments.is_not_null(), read(values))
    return moments


def _from_rfc_3339(values: pl.Series) -> pl.Series:
    parts = values.str.extract_groups(RFC_3339).struct.unnest()
    second = (pl.col("date") + "T" + pl.col("time")).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", strict=False)
    fraction = pl.col("fraction").fill_null("").str.pad_end(3, "0").str.slice(0, 3).cast(pl.Int64)
    minutes = pl.col("hours").cast(pl.Int64) * 60 + pl.col("minutes").cast(pl.Int64)
    offset = pl.when(pl.col("sign") == "-").then(-minutes).otherwise(minutes).fill_null(0)
    return parts.select(second.dt.timestamp("ms") + fraction - offset * 60_000).to_series()


def _evaluate(values: pl.Series, expression: pl.Expr) -> pl.Series:
    return values.alias("x").to_frame().select(expression.alias("x")).to_series()
