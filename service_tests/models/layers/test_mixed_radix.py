"""Digits are unique per index and smaller than their bases."""

import pytest
import torch

from models.layers.mixed_radix import choose_two_bases, to_digits


@pytest.mark.parametrize(
    ("count", "bases"),
    [(3_416, (59, 58)), (12_101, (111, 110)), (20_000, (28, 28, 26)), (100_000, (47, 47, 46)), (7, (7,))],
)
def test_no_two_indices_have_the_same_digits(count: int, bases: tuple[int, ...]) -> None:
    digits = to_digits(torch.arange(count), bases)
    assert digits.shape == (count, len(bases))
    assert len(digits.unique(dim=0)) == count
    assert (digits >= 0).all()
    assert (digits < torch.tensor(bases)).all()


def test_first_digit_is_the_remainder_and_last_the_quotient() -> None:
    assert to_digits(torch.tensor([0, 5, 27, 59]), (5, 4, 3)).tolist() == [[0, 0, 0], [0, 1, 0], [2, 1, 1], [4, 3, 2]]


@pytest.mark.parametrize("count", [1, 2, 50, 3_416, 12_101, 1_000_000])
@pytest.mark.parametrize("fineness", [1, 4, 8])
def test_two_bases_cover_the_count_with_little_slack(count: int, fineness: int) -> None:
    first, second = choose_two_bases(count, fineness)
    assert count <= first * second < count + first
    assert first <= count


def test_fineness_of_one_minimizes_the_sum_of_bases() -> None:
    assert choose_two_bases(12_101, 1) == (111, 110)
    assert sum(choose_two_bases(12_101, 4)) > 221
