"""Periods: equally many events in each, later times in the last one, unreal times in none."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.layers.period_embedding import NO_PERIOD, PeriodEmbedding
from models.times import FIRST_SECOND, LAST_SECOND

YEAR = 365 * 86_400


def make_periods(num_periods: int, seconds: list[int]) -> PeriodEmbedding:
    periods = PeriodEmbedding(num_periods, 4)
    periods.fit([np.array(part, dtype=np.uint32) for part in (seconds[::2], seconds[1::2])])
    return periods


def find_periods(periods: PeriodEmbedding, seconds: list[int]) -> list[int]:
    numbers: list[int] = periods.find_periods(torch.tensor(seconds)).tolist()
    return numbers


@given(st.integers(1, 20), st.integers(1, 9))
def test_every_period_has_the_same_number_of_different_times(num_periods: int, each: int) -> None:
    seconds = [10**9 + 7 * number for number in range(num_periods * each)]
    numbers = find_periods(make_periods(num_periods, seconds), seconds)
    assert np.bincount(numbers, minlength=num_periods + 1).tolist() == [0, *[each] * num_periods]


@given(st.integers(1, 20), st.lists(st.integers(FIRST_SECOND, LAST_SECOND), min_size=1, max_size=60))
def test_later_times_are_in_no_earlier_period(num_periods: int, seconds: list[int]) -> None:
    numbers = find_periods(make_periods(num_periods, seconds), sorted(seconds))
    assert numbers == sorted(numbers)
    assert 1 <= numbers[0] <= numbers[-1] <= num_periods


def test_times_outside_the_log_are_in_the_first_and_last_period() -> None:
    periods = make_periods(8, [10**9 + YEAR * number for number in range(8)])
    assert find_periods(periods, [10**9 - YEAR, 10**9 + 9 * YEAR, LAST_SECOND]) == [1, 8, 8]


def test_unreal_times_have_no_period_and_move_no_boundary() -> None:
    real = [10**9, 10**9 + YEAR]
    periods, with_unreal = make_periods(2, real), make_periods(2, [*real, 0, 5, LAST_SECOND + 1])
    assert torch.equal(periods.boundaries, with_unreal.boundaries)
    assert find_periods(periods, [0, 5, FIRST_SECOND - 1, LAST_SECOND + 1]) == [NO_PERIOD] * 4


def test_log_without_real_times_has_one_period() -> None:
    """A model of such a log serves histories with real times, too."""
    periods = make_periods(4, [0, 1, 2, 3])
    assert find_periods(periods, [10**9, 10**9 + YEAR]) == [4, 4]
