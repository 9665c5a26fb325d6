"""Metrics of groups of cases and of rankings, against hand-computed values."""

import math

import numpy as np
import pytest

from models.data.splits import Cases
from models.evaluation.diversity import compute_diversity
from models.evaluation.metrics import NOT_RANKED, rank_targets
from models.evaluation.segments import classify_items, compute_segments

COUNTS = np.array([50, 20, 10, 10, 5, 5, 0])
"""Training events of items 1 to 7: half of them belong to item 1, 80 % to items 1 to 3."""


def make_cases(lengths: list[int], targets: list[int]) -> Cases:
    histories = [np.full(length, 2, dtype=np.int64) for length in lengths]
    return Cases(np.arange(len(targets)), histories, np.array(targets))


def test_items_are_head_torso_tail_or_new() -> None:
    assert classify_items(COUNTS).tolist() == [3, 0, 1, 1, 2, 2, 2, 3]


def test_segments_partition_the_cases() -> None:
    cases = make_cases([1, 5, 6, 300], [1, 4, 7, 0])
    segments = compute_segments(np.array([0, 1, NOT_RANKED, NOT_RANKED]), cases, COUNTS)
    lengths = {name: row["cases"] for name, row in segments.items() if name.startswith("history")}
    assert lengths == {"history 1-5": 2, "history 6-10": 1, "history 201+": 1}
    items = {name: row["cases"] for name, row in segments.items() if name.endswith("items")}
    assert items == {"head items": 1, "tail items": 1, "new items": 2}
    assert segments["history 1-5"]["ndcg@10"] == pytest.approx((1 + 1 / math.log2(3)) / 2)
    assert segments["new items"] == {"cases": 2, "ndcg@10": 0.0, "hr@10": 0.0}


def test_unknown_target_is_missed_although_rankings_end_with_zeros() -> None:
    assert rank_targets(np.array([[1, 2, 0, 0]]), np.array([0])).tolist() == [NOT_RANKED]


def test_diversity_matches_hand_computed_values() -> None:
    cases = make_cases([2, 3], [1, 1])
    diversity = compute_diversity(np.array([[1, 2, 0], [1, 7, 4]]), cases, COUNTS)
    assert diversity["coverage@10"] == pytest.approx(4 / 7)
    information = [math.log2(100 / count) for count in (50, 20, 50, 1, 10)]
    assert diversity["novelty@10"] == pytest.approx(sum(information) / 5)
    assert diversity["popularity_rank@10"] == pytest.approx((1 + 2 + 1 + 7 + 4) / 5)
    assert diversity["popularity_rank_of_histories"] == 2.0
