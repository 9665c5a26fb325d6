"""Conversion of times to milliseconds."""

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.fields import MAX_MILLISECONDS, to_milliseconds

NEW_YEAR = 1_577_836_800_000  # 2020-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0),
        ("2", 2000),
        ("-5", -5000),
        ("978300760", 978_300_760_000),
        ("978300760000", 978_300_760_000),
        ("99999999999", 99_999_999_999_000),
        ("100000000000", 100_000_000_000),
        ("-100000000000", -100_000_000_000),
        ("1.5", 1500),
        ("978300760.123", 978_300_760_123),
        ("1.001", 1001),  # 1000.9999999999999 in binary
        ("9.78300760e8", 978_300_760_000),
        ("978300760000.0", 978_300_760_000),
        (str(MAX_MILLISECONDS), MAX_MILLISECONDS),
        (str(MAX_MILLISECONDS + 1), None),
        (str(-MAX_MILLISECONDS - 1), None),
        ("99999999999999999999", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        (" 5", None),
        ("0x10", None),
        ("soon", None),
        ("2020-01-01T00:00:00Z", NEW_YEAR),
        ("2020-01-01 00:00:00z", NEW_YEAR),
        ("2020-01-01t01:30:00+01:30", NEW_YEAR),
        ("2019-12-31T22:00:00.000000-0200", NEW_YEAR),
        ("2020-01-01T00:00:00.5Z", NEW_YEAR + 500),
        ("2020-01-01T00:00:00.123456789Z", NEW_YEAR + 123),
        ("1969-12-31T23:59:59.250Z", -750),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        ("2020-02-30T00:00:00Z", None),
        ("2020-01-01T25:00:00Z", None),
        ("2020-01-01T00:00:00+24:00", None),
        ("2020-01-01T00:00:00", None),  # no time zone
        ("2020-01-01", None),
        ("x2020-01-01T00:00:00Z", None),
        ("2020-01-01T00:00:00.Z", None),
    ],
)
def test_time_texts_are_converted(value: str, expected: int | None) -> None:
    assert to_milliseconds(pl.Series([value])).to_list() == [expected]
    # In a mixed column each row is parsed independently.
    mixed = pl.Series(["7", value, "1.5", None, "2020-01-01T00:00:00Z"])
    assert to_milliseconds(mixed).to_list() == [7000, expected, 1500, None, NEW_YEAR]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            pl.Series([-1, 100_000_000_000, 2**53 + 1, None, 99_999_999_999]),
            [-1000, 10**11, None, None, 99_999_999_999_000],
        ),
        (pl.Series([2**64 - 1, 1], dtype=pl.UInt64), [None, 1000]),
        (pl.Series([127], dtype=pl.Int8), [127_000]),
        (pl.Series([0.25, -1.5, 1e12, float("nan"), float("inf"), 1e300]), [250, -1500, 10**12, None, None, None]),
        (pl.Series([1500], dtype=pl.Datetime("us")), [1]),
        (pl.Series([-1], dtype=pl.Datetime("ms", "Asia/Tokyo")), [-1]),
        (pl.Series([1], dtype=pl.Date), [86_400_000]),
        (pl.Series(["5", "x"], dtype=pl.Categorical), [5000, None]),
        (pl.Series([None, None]), [None, None]),
    ],
)
def test_typed_times_are_converted(values: pl.Series, expected: list[int | None]) -> None:
    assert to_milliseconds(values).to_list() == expected


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from("Tt "),
)
def test_rfc_3339_matches_the_standard_library(naive: datetime, minutes: int, separator: str) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert to_milliseconds(pl.Series([moment.isoformat(separator)])).to_list() == [expected]
