"""Hours: those of the calendar in UTC, and none for what is no time."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batch import NO_HOUR
from models.hours import FIRST_SECOND, LAST_SECOND, hours_of


@given(st.lists(st.integers(FIRST_SECOND, LAST_SECOND), max_size=20))
def test_hours_are_those_of_the_calendar(seconds: list[int]) -> None:
    expected = [datetime.fromtimestamp(second, UTC).hour for second in seconds]
    for dtype in (np.uint32, np.int64):
        assert hours_of(np.array(seconds, dtype=dtype)).tolist() == expected


@given(st.lists(st.integers(-(2**53), FIRST_SECOND - 1) | st.integers(LAST_SECOND + 1, 2**53), max_size=20))
def test_ranks_and_times_that_the_store_cannot_hold_have_no_hour(seconds: list[int]) -> None:
    assert set(hours_of(np.array(seconds, dtype=np.int64)).tolist()) <= {NO_HOUR}


@pytest.mark.parametrize("second", [0, 2**32 - 1])
def test_a_clipped_time_has_no_hour(second: int) -> None:
    assert hours_of(np.array([second], dtype=np.uint32)).tolist() == [NO_HOUR]
