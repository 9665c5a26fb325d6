"""Metrics against hand-computed cases."""

import math

import numpy as np
import pytest

from models.evaluation.metrics import NOT_RANKED, coverage, hit_rate, mrr, ndcg, rank_targets

TOP = np.array([[3, 1, 2], [4, 5, 6], [7, 8, 9], [1, 3, 0]])
TARGETS = np.array([1, 4, 1, 9])


def test_ranks_count_from_zero_and_missing_targets_are_not_ranked() -> None:
    assert rank_targets(TOP, TARGETS).tolist() == [1, 0, NOT_RANKED, NOT_RANKED]


@pytest.mark.parametrize(
    ("k", "hr", "gain", "reciprocal"),
    [
        (1, 1 / 4, 1 / 4, 1 / 4),
        (2, 2 / 4, (1 + 1 / math.log2(3)) / 4, (1 + 1 / 2) / 4),
        (3, 2 / 4, (1 + 1 / math.log2(3)) / 4, (1 + 1 / 2) / 4),
    ],
)
def test_metrics_match_hand_computed_values(k: int, hr: float, gain: float, reciprocal: float) -> None:
    ranks = rank_targets(TOP, TARGETS)
    assert hit_rate(ranks, k) == pytest.approx(hr)
    assert ndcg(ranks, k) == pytest.approx(gain)
    assert mrr(ranks, k) == pytest.approx(reciprocal)


def test_coverage_is_the_share_of_recommended_items() -> None:
    assert coverage(TOP, 18) == pytest.approx(9 / 18), "0 marks an empty position"
