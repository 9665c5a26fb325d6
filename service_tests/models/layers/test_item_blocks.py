"""Cuts and ranks of item blocks: no block is empty, and ranks fall by powers of the factor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.layers.item_blocks import compute_block_ends, compute_block_ranks, compute_block_sizes


@given(num_items=st.integers(1, 5000))
def test_default_cuts_cover_every_item_and_leave_no_block_empty(num_items: int) -> None:
    ends = compute_block_ends(num_items, None)
    assert ends[-1] == num_items
    assert min(compute_block_sizes(ends)) >= 1
    assert len(ends) == 3 or num_items < 4


def test_small_catalogue_has_three_blocks() -> None:
    assert compute_block_ends(50, None) == (5, 25, 50)


def test_explicit_cuts_are_ends_of_blocks() -> None:
    assert compute_block_ends(50, [7, 15]) == (7, 15, 50)
    assert compute_block_sizes((7, 15, 50)) == (7, 8, 35)
    assert compute_block_ends(50, []) == (50,)


def test_cuts_below_1_are_shares_and_small_catalogues_have_fewer_blocks() -> None:
    assert compute_block_ends(50, [0.02, 0.3]) == (1, 15, 50)
    assert compute_block_ends(2, [0.02, 0.3, 0.6]) == (1, 2)


@pytest.mark.parametrize("cuts", [[0, 5], [5, 5], [9, 5], [50], [5, 60]])
def test_cuts_with_an_empty_block_raise(cuts: list[int]) -> None:
    with pytest.raises(ValueError, match="cuts must increase and be from 1 to 49"):
        compute_block_ends(50, cuts)


def test_ranks_fall_by_powers_of_the_factor_to_at_least_1() -> None:
    assert compute_block_ranks(512, 5, 4) == (512, 128, 32, 8, 2)
    assert compute_block_ranks(16, 4, 4) == (16, 4, 1, 1)
    assert compute_block_ranks(64, 3, 1) == (64, 64, 64)
    with pytest.raises(ValueError, match="factor must be at least 1"):
        compute_block_ranks(64, 3, 0)


def test_explicit_ranks_replace_the_rule() -> None:
    assert compute_block_ranks(64, 3, 4, [48, 0.5]) == (64, 48, 32)
    assert compute_block_ranks(64, 2, 4, [48, 0.5]) == (64, 48)
    assert compute_block_ranks(2, 3, 4, [0.75, 0.1]) == (2, 2, 1)


@pytest.mark.parametrize("ranks", [[48], [48, 65], [48, 0]])
def test_wrong_ranks_raise(ranks: list[int]) -> None:
    with pytest.raises(ValueError, match="ranks must be 2 numbers from 1 to 64"):
        compute_block_ranks(64, 3, 4, ranks)
