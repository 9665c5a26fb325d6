"""The verdict on a series: growth beyond a bound is seen, noise, warm-up and outliers are not growth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bench.soak.flatness import MIN_POINTS, Bound, find_trend
from app.bench.soak.samples import BOUNDS, find_bound

BOUND = Bound(share=0.05, absolute=5.0)
SAMPLES = 60


def make_series(values: list[float]) -> list[tuple[float, float]]:
    return [(10.0 + 2.0 * number, value) for number, value in enumerate(values)]


@given(growth=st.floats(20, 1000), noise=st.floats(0, 3), seed=st.integers(0, 1000))
def test_growth_beyond_the_bound_is_seen_in_noise(growth: float, noise: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = 100 + np.linspace(0, 4 / 3 * growth, SAMPLES) + rng.uniform(-noise, noise, SAMPLES)
    trend = find_trend(make_series(values.tolist()), BOUND)
    assert trend.growth == pytest.approx(growth, abs=0.05 * growth + 2 * noise)
    assert trend.is_flat is (trend.growth <= max(5.0, 0.05 * trend.median))


@given(st.integers(0, 1000))
def test_noise_warm_up_and_outliers_are_flat(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = 100 + rng.uniform(-2, 2, SAMPLES)
    values[: SAMPLES // 4] = np.linspace(0, 100, SAMPLES // 4)
    values[rng.choice(np.arange(SAMPLES // 4, SAMPLES), 5)] += 10_000
    assert find_trend(make_series(values.tolist()), BOUND).is_flat


def test_falling_series_is_flat() -> None:
    assert find_trend(make_series(np.linspace(100, 1, SAMPLES).tolist()), BOUND).is_flat


def test_too_few_samples_give_no_verdict() -> None:
    assert find_trend(make_series([1.0] * (MIN_POINTS - 1)), BOUND).is_flat is None
    assert find_trend([], BOUND).is_flat is None


def test_bound_is_a_share_of_large_values_and_absolute_for_small_ones() -> None:
    assert find_trend(make_series([1000.0] * SAMPLES), BOUND).bound == 50.0
    assert find_trend(make_series([1.0] * SAMPLES), BOUND).bound == 5.0


def test_every_kind_of_series_has_a_bound() -> None:
    assert find_bound("worker_pss_bytes") is BOUNDS["_pss_bytes"]
    assert find_bound("store_keys") is BOUNDS["store_keys"]
