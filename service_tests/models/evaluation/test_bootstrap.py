"""Paired bootstrap of the difference between two models."""

import numpy as np
import pytest

from models.evaluation.bootstrap import bootstrap_difference


def test_constant_difference_has_an_exact_interval() -> None:
    values = np.random.default_rng(0).random(500)
    difference = bootstrap_difference(values + 0.01, values)
    assert difference.mean == pytest.approx(0.01)
    assert difference.low == pytest.approx(0.01)
    assert difference.high == pytest.approx(0.01)


def test_interval_approaches_the_normal_distribution_for_many_users() -> None:
    gap = np.random.default_rng(1).normal(0.0, 1.0, 4_000)
    difference = bootstrap_difference(gap, np.zeros(4_000))
    half = 1.96 * gap.std() / 4_000**0.5
    assert difference.high - difference.mean == pytest.approx(half, rel=0.05)
    assert difference.mean - difference.low == pytest.approx(half, rel=0.05)


def test_interval_of_noise_contains_zero() -> None:
    rng = np.random.default_rng(2)
    difference = bootstrap_difference(rng.random(300), rng.random(300))
    assert difference.low < 0 < difference.high


def test_different_users_raise() -> None:
    with pytest.raises(ValueError, match="the same users on both sides"):
        bootstrap_difference(np.zeros(3), np.zeros(4))
