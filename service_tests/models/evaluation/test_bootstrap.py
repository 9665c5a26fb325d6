"""Paired differences: what is certain and what is not."""

import numpy as np
import pytest

from models.evaluation.bootstrap import bootstrap_difference


def test_a_constant_difference_is_certain_and_exact() -> None:
    one = np.random.default_rng(0).random(500)
    found = bootstrap_difference(one + 0.01, one)
    assert found.mean == pytest.approx(0.01)
    assert found.low == pytest.approx(0.01)
    assert found.high == pytest.approx(0.01)
    assert found.is_certain


def test_the_interval_is_that_of_the_normal_law_for_many_users() -> None:
    gap = np.random.default_rng(1).normal(0.0, 1.0, 4_000)
    found = bootstrap_difference(gap, np.zeros(4_000))
    half = 1.96 * gap.std() / 4_000**0.5
    assert found.high - found.mean == pytest.approx(half, rel=0.05)
    assert found.mean - found.low == pytest.approx(half, rel=0.05)


def test_noise_is_not_certain() -> None:
    rng = np.random.default_rng(2)
    assert not bootstrap_difference(rng.random(300), rng.random(300)).is_certain


def test_other_users_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="the same users on both sides"):
        bootstrap_difference(np.zeros(3), np.zeros(4))
