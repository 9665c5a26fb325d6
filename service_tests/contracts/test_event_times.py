"""`POST /events` and log files read a time alike, so that an event has one identity on both ways."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.http.timestamps import check_time_range, parse_timestamp
from models.data.interactions import read_interactions
from models.data.time_values import parse_times

numbers = st.integers(-(10**18), 10**18) | st.floats(-1e18, 1e18, allow_nan=False)


@given(number=numbers)
@example(number=1_700_002_013_123_789)
@example(number=1_700_002_013_123_789_999)
@example(number=1.700002013123789e15)
def test_number_is_the_same_time_in_a_request_and_in_a_file(number: float) -> None:
    text = json.dumps(number)
    expected = parse_timestamp(json.loads(text))
    assert parse_times(pl.Series([number])).milliseconds.to_list() == [expected]
    assert parse_times(pl.Series([text])).milliseconds.to_list() == [expected]
    assert parse_timestamp(text) == expected


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),
    st.integers(-12 * 60, 14 * 60),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
def test_rfc_3339_is_the_same_time_in_a_request_and_in_a_file(naive: datetime, minutes: int, precision: str) -> None:
    text = naive.replace(tzinfo=timezone(timedelta(minutes=minutes))).isoformat(timespec=precision)
    assert parse_times(pl.Series([text])).milliseconds.to_list() == [parse_timestamp(text)]


@pytest.mark.parametrize("text", ["soon", "2023-11-14T25:00:00Z", "NaN"])
def test_text_that_is_no_time_is_rejected_on_both_ways(text: str) -> None:
    assert parse_times(pl.Series([text])).milliseconds.to_list() == [None]
    with pytest.raises(ValueError, match=r"."):
        parse_timestamp(text)


def test_future_is_bounded_alike(tmp_path: Path) -> None:
    now_ms = 1_700_000_000_000
    for seconds in (86_400, 86_401):
        time_ms = now_ms + 1000 * seconds
        (tmp_path / "log.csv").write_text(f"user_id,item_id,timestamp\nu,i,{now_ms}\nu,j,{time_ms}\n")
        is_read = read_interactions([tmp_path / "log.csv"], now_ms=now_ms).report.bad_rows == 0
        try:
            check_time_range(time_ms, now_ms)
        except ValueError:
            assert not is_read
        else:
            assert is_read
