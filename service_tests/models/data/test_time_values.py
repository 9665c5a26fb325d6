"""Conversion of times to milliseconds."""

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.bad_rows import BadInput
from models.data.time_values import check_timezone, find_date_digits, parse_times

NEW_YEAR = 1_577_836_800_000  # 2020-01-01T00:00:00Z


def to_milliseconds(values: pl.Series, timezone: str = "UTC") -> pl.Series:
    return parse_times(values, timezone).milliseconds


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
        ("99999999999999", 99_999_999_999_999),
        ("1700002013123456", 1_700_002_013_123),
        ("-1700002013123456", -1_700_002_013_124),
        ("1700002013123456.0", 1_700_002_013_123),
        ("1700002013123456789", 1_700_002_013_123),
        ("99999999999999999999", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        (" 5", 5000),
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
        ("2020-01-01T00:00:00", NEW_YEAR),
        ("2020-01-01 00:00", NEW_YEAR),
        ("2020-01-01 9:05", NEW_YEAR + 32_700_000),
        ("2020/01/01 00:00:00.250", NEW_YEAR + 250),
        ("2020-01-01 00:00:00 UTC", NEW_YEAR),
        ("2020-01-01 01:00:00+01", NEW_YEAR),
        ("2020-01-01", NEW_YEAR),
        ("2020-01-01Z", None),
        ("01/02/2020", None),  # a day or a month
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
            [-1000, 10**11, 2**53 // 1000, None, 99_999_999_999_000],
        ),
        (pl.Series([2**64 - 1, 1], dtype=pl.UInt64), [None, 1000]),
        (pl.Series([127], dtype=pl.Int8), [127_000]),
        (pl.Series([0.25, -1.5, 1e12, float("nan"), float("inf"), 1e300]), [250, -1500, 10**12, None, None, None]),
        (pl.Series([1500], dtype=pl.Datetime("us")), [1]),
        (pl.Series([-1], dtype=pl.Datetime("ms", "Asia/Tokyo")), [-1]),
        (pl.Series([1], dtype=pl.Date), [86_400_000]),
        (pl.Series([1], dtype=pl.Datetime("us", "UTC")), [0]),
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


def test_times_without_an_offset_are_in_the_given_zone_in_text_and_in_typed_columns() -> None:
    naive, expected = datetime(2024, 7, 1, 12), 1_719_828_000_000
    for values in (pl.Series(["2024-07-01 12:00:00"]), pl.Series([naive]), pl.Series([naive], dtype=pl.Datetime("ns"))):
        assert to_milliseconds(values, "Europe/Berlin").to_list() == [expected]
        assert to_milliseconds(values).to_list() == [expected + 2 * 3_600_000]
    midnight = [
        to_milliseconds(values, "Asia/Tokyo").to_list()
        for values in (pl.Series(["2024-07-01"]), pl.Series([naive.date()]))
    ]
    assert midnight == [[1_719_759_600_000], [1_719_759_600_000]]
    with_offset = pl.Series(["2024-07-01T12:00:00Z"])
    assert to_milliseconds(with_offset, "Asia/Tokyo").to_list() == to_milliseconds(with_offset).to_list()


def test_local_time_that_the_zone_skips_is_not_a_time_and_one_of_two_is_the_earlier() -> None:
    values = pl.Series(["2024-03-31 02:30:00", "2024-10-27 02:30:00"])
    assert to_milliseconds(values, "Europe/Berlin").to_list() == [None, 1_729_989_000_000]


def test_unknown_time_zone_is_rejected() -> None:
    with pytest.raises(BadInput, match="--timezone 'Mars' is not a time zone"):
        check_timezone("Mars")


@pytest.mark.parametrize(
    ("values", "conventions"),
    [
        (["1700000000"], []),
        (["2020-01-01T00:00:00Z"], []),
        (["2020-01-01", "5"], ["dates without a time are read as midnight UTC"]),
        (["2020-01-01 00:00:00"], ["times without an offset are read as UTC"]),
        (["1700002013123456"], ["times of 15 to 17 digits are read as microseconds"]),
        (["1700002013123456789", "x"], ["times of 18 or more digits are read as nanoseconds"]),
    ],
)
def test_conventions_that_were_applied_are_stated(values: list[str], conventions: list[str]) -> None:
    stated = parse_times(pl.Series(values)).conventions
    assert [text.split(" (")[0] for text in stated] == conventions


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["20231114", "20240229"], "20231114"),
        (["20231114224653", "20231114224654"], "20231114224653"),
        (["202311142246"], "202311142246"),
        (["20231114", "1"], None),
        (["20231314"], None),
        (["1700000000"], None),
        (["2023-11-14"], None),
    ],
)
def test_digits_of_a_date_are_recognized_if_every_value_has_them(values: list[str], expected: str | None) -> None:
    series = pl.Series(values)
    assert find_date_digits(series, to_milliseconds(series)) == expected
