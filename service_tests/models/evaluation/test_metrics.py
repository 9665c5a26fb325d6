"""Metrics against cases worked out by hand."""

import math

import numpy as np
import pytest

from models.evaluation.metrics import NOT_RANKED, coverage, hit_rate, mrr, ndcg, target_ranks

TOP = np.array([[3, 1, 2], [4, 5, 6], [7, 8, 9], [1, 3, 0]])
TARGETS = np.array([1, 4, 1, 9])


def test_places_count_from_zero_and_a_target_that_is_not_there_is_missed() -> None:
    assert target_ranks(TOP, TARGETS).tolist() == [1, 0, NOT_RANKED, NOT_RANKED]


@pytest.mark.parametrize(
    ("k", "hr", "gain", "reciprocal"),
    [
        (1, 1 / 4, 1 / 4, 1 / 4),
        (2, 2 / 4, (1 + 1 / math.log2(3)) / 4, (1 + 1 / 2) / 4),
        (3, 2 / 4, (1 + 1 / math.log2(3)) / 4, (1 + 1 / 2) / 4),
    ],
)
def test_the_figures_are_those_worked_by_hand(k: int, hr: float, gain: float, reciprocal: float) -> None:
    found = target_ranks(TOP, TARGETS)
    assert hit_rate(found, k) == pytest.approx(hr)
    assert ndcg(found, k) == pytest.approx(gain)
    assert mrr(found, k) == pytest.approx(reciprocal)


def test_coverage_is_the_share_of_the_catalogue_that_anybody_was_shown() -> None:
    assert coverage(TOP, 18) == pytest.approx(9 / 18), "0 means that there was no answer"
