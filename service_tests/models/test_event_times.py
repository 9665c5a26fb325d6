"""The size of a number gives the unit of a time."""

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.data.time_values import parse_times
from models.event_times import TOO_LARGE_FROM, is_date_in_digits, scale_to_milliseconds


@given(st.integers(10**8, 10**11 - 1))
def test_second_in_finer_units_is_the_same_time(second: int) -> None:
    assert scale_to_milliseconds(second) == 1000 * second
    for factor in (10**3, 10**6, 10**9):
        assert scale_to_milliseconds(second * factor) == 1000 * second


@example(-5.226463104241e18)
@given(st.integers(-(10**18), 10**18) | st.floats(-1e19, 1e19, allow_nan=False))
def test_files_follow_the_rule_for_single_numbers(number: float) -> None:
    assert parse_times(pl.Series([number])).milliseconds.to_list() == [scale_to_milliseconds(number)]


@pytest.mark.parametrize("number", [TOO_LARGE_FROM, -TOO_LARGE_FROM, 1e300, float("inf"), float("nan")])
def test_number_that_is_no_time_is_rejected(number: float) -> None:
    with pytest.raises(ValueError, match="not a Unix time"):
        scale_to_milliseconds(number)
    assert parse_times(pl.Series([float(number)])).milliseconds.to_list() == [None]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(20231114, True), (2023111422, True), (20231114221320, True), (20231114221320123, True), (20231399, False),
     (20231132, False), (1_700_000_000, False), (20231114226020, False), (5, False), (-20231114, False)],
)  # fmt: skip
def test_dates_without_separators_are_recognized(number: int, expected: bool) -> None:
    assert is_date_in_digits(number) is expected
