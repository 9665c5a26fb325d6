"""Calibration by category, against hand-computed values."""

import math

import numpy as np
import pytest

from models.catalogue.categories import CategoryIndex
from models.data.splits import Cases
from models.evaluation.calibration import compute_calibration

CATEGORIES = CategoryIndex.from_lists([["a"], ["b"], ["a", "b"], [], ["c"]])


def make_cases(*histories: list[int]) -> Cases:
    return Cases(
        np.arange(len(histories)), [np.array(history) for history in histories], np.ones(len(histories), dtype=np.int64)
    )


def test_answer_with_the_shares_of_the_history_is_calibrated() -> None:
    calibration = compute_calibration(np.array([[2, 1, 0]]), make_cases([3, 4]), CATEGORIES)
    assert calibration is not None
    assert calibration.miscalibration == pytest.approx(0)
    assert [(each.name, each.history, each.recommended) for each in calibration.categories] == [
        ("a", 0.5, 0.5),
        ("b", 0.5, 0.5),
        ("c", 0.0, 0.0),
    ]


def test_miscalibration_is_the_smoothed_divergence_of_the_answer_from_the_history() -> None:
    calibration = compute_calibration(np.array([[2, 2, 2, 5], [1, 0, 0, 0]]), make_cases([1, 1, 2], [1]), CATEGORIES)
    assert calibration is not None
    a, b = 2 / 3, 1 / 3
    first = a * math.log(a / (0.01 * a)) + b * math.log(b / (0.99 * 0.75 + 0.01 * b))
    assert calibration.miscalibration == pytest.approx((first + 0) / 2)
    assert calibration.categories[0].history == pytest.approx((a + 1) / 2)
    assert calibration.categories[0].recommended == pytest.approx(1 / 2)


def test_items_without_categories_are_left_out() -> None:
    assert compute_calibration(np.array([[4, 0]]), make_cases([4]), CATEGORIES) is None
    assert compute_calibration(np.array([[1]]), make_cases([1]), CategoryIndex.empty(5)) is None
    calibration = compute_calibration(np.array([[4], [1]]), make_cases([1], [1]), CATEGORIES)
    assert calibration is not None
    assert calibration.num_users == 1


def test_cases_are_sampled_and_categories_limited() -> None:
    categories = CategoryIndex.from_lists([[f"c{number}"] for number in range(40)])
    histories = [[1 + row % 40] for row in range(400)]
    recommended = np.array([[1 + row % 40] for row in range(400)])
    calibration = compute_calibration(recommended, make_cases(*histories), categories, max_cases=100)
    assert calibration is not None
    assert (calibration.num_users, calibration.num_categories, len(calibration.categories)) == (100, 40, 20)
