"""Hours and intervals of events, and times that are not real."""

from datetime import UTC, datetime

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.times import (
    FIRST_SECOND,
    LAST_SECOND,
    NO_HOUR,
    NO_INTERVAL,
    NUM_INTERVALS,
    compute_hours,
    compute_intervals,
    to_stored_times,
)

real_times = st.integers(FIRST_SECOND, LAST_SECOND)
no_times = st.integers(-(2**53), FIRST_SECOND - 1) | st.integers(LAST_SECOND + 1, 2**53)


def make_times(seconds: list[int]) -> torch.Tensor:
    return torch.from_numpy(to_stored_times(np.array(seconds, dtype=np.int64)).astype(np.int64))


@given(st.lists(real_times, max_size=20))
def test_hours_match_the_calendar(seconds: list[int]) -> None:
    assert compute_hours(make_times(seconds)).tolist() == [
        datetime.fromtimestamp(second, UTC).hour for second in seconds
    ]


@given(st.lists(no_times, max_size=20))
def test_unreal_and_out_of_range_times_have_no_hour(seconds: list[int]) -> None:
    assert set(compute_hours(make_times(seconds)).tolist()) <= {NO_HOUR}


@given(real_times, st.integers(0, 2**32))
def test_interval_class_is_a_power_of_two(start: int, seconds: int) -> None:
    first, number = compute_intervals(make_times([start, start + seconds])[None])[0].tolist()
    assert first == NO_INTERVAL
    if start + seconds > LAST_SECOND:
        assert number == NO_INTERVAL
    elif seconds == 0:
        assert number == 1
    else:
        assert 2 ** (number - 2) <= seconds < 2 ** (number - 1)
        assert number < NUM_INTERVALS


@given(real_times, no_times)
def test_interval_needs_two_real_times(time: int, no_time: int) -> None:
    for pair in ([time, no_time], [no_time, time], [no_time, no_time]):
        assert compute_intervals(make_times(pair)[None]).tolist() == [[NO_INTERVAL, NO_INTERVAL]]


def test_time_that_goes_back_counts_as_the_same_second() -> None:
    assert compute_intervals(make_times([FIRST_SECOND + 9, FIRST_SECOND])[None]).tolist() == [[NO_INTERVAL, 1]]


def test_largest_interval_of_the_store_is_below_num_intervals() -> None:
    assert int(compute_intervals(make_times([FIRST_SECOND, LAST_SECOND])[None]).max()) < NUM_INTERVALS
