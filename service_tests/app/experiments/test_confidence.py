"""Confidence sequences cover the true difference at every look, also if the answers of a user depend on each other."""

import numpy as np
import pytest

from app.experiments.comparison import MIN_GROUPS, MIN_OUTCOMES, MIN_SHOWN, compare_variants
from app.experiments.confidence import Rate, bound_difference, bound_rate, compute_boundary, estimate_rate
from app.feedback.counter import format_count_field
from app.stores.experiment_records import Experiment, Variant

NUM_GROUPS, LOOKS, STEP = 256, 60, 150
TRIALS = 300


def simulate_groups(rng: np.random.Generator, rate: float, clustering: float) -> tuple[np.ndarray, np.ndarray]:
    """Sums by group after each look, (LOOKS, NUM_GROUPS) each, of answers shown and clicked.

    Users have their own rates, beta-distributed around `rate` with this correlation between the answers of a user.
    """
    num_users = 800
    size = 1 / clustering - 1
    rates = rng.beta(rate * size, (1 - rate) * size, num_users)
    users = rng.integers(0, num_users, (LOOKS, STEP))
    clicks = rng.random((LOOKS, STEP)) < rates[users]
    impressions, clicked = np.zeros((2, LOOKS, NUM_GROUPS))
    for look in range(LOOKS):
        groups = users[look] % NUM_GROUPS
        impressions[look] = np.bincount(groups, minlength=NUM_GROUPS)
        clicked[look] = np.bincount(groups, clicks[look], minlength=NUM_GROUPS)
    return impressions.cumsum(0), clicked.cumsum(0)


@pytest.mark.parametrize("clustering", [0.001, 0.3])
def test_difference_is_covered_at_all_looks_together(clustering: float) -> None:
    rng = np.random.default_rng(7)
    misses = fixed_misses = 0
    for _ in range(TRIALS):
        first, second = simulate_groups(rng, 0.1, clustering), simulate_groups(rng, 0.1, clustering)
        is_missed = is_missed_by_fixed = False
        for look in range(2, LOOKS):
            rates = [estimate_rate(impressions[look], clicked[look]) for impressions, clicked in (first, second)]
            interval = bound_difference(rates[0], rates[1], 0.05)
            is_missed |= not interval.low <= 0 <= interval.high
            naive = 1.96 * np.sqrt(sum(rate.value * (1 - rate.value) / rate.num_shown for rate in rates))
            is_missed_by_fixed |= abs(interval.value) > naive
        misses += is_missed
        fixed_misses += is_missed_by_fixed
    # 5 % are allowed; 300 trials at 5 % give 28 or more misses in 1 of 1,000 simulations.
    assert misses < 28, f"{misses} of {TRIALS}"
    assert fixed_misses > 2 * 28, "the interval for one look fails often, so the test distinguishes the two"


def test_interval_finds_a_difference_and_narrows() -> None:
    rng = np.random.default_rng(8)
    low, high = simulate_groups(rng, 0.1, 0.01), simulate_groups(rng, 0.2, 0.01)
    rates = [estimate_rate(impressions[-1], clicked[-1]) for impressions, clicked in (high, low)]
    interval = bound_difference(rates[0], rates[1], 0.05)
    assert 0 < interval.low < 0.1 < interval.high
    early = bound_rate(estimate_rate(low[0][3], low[1][3]), 0.05)
    late = bound_rate(rates[1], 0.05)
    assert late.high - late.low < early.high - early.low
    assert 0 <= early.low <= early.value <= early.high <= 1


def test_variance_of_independent_answers_is_that_of_a_proportion() -> None:
    rng = np.random.default_rng(9)
    impressions = np.full(NUM_GROUPS, 100.0)
    rate = estimate_rate(impressions, rng.binomial(100, 0.2, NUM_GROUPS).astype(float))
    assert rate.variance == pytest.approx(rate.value * (1 - rate.value) / impressions.sum(), rel=0.3)
    same = estimate_rate(impressions * 2, (rng.binomial(100, 0.2, NUM_GROUPS) * 2).astype(np.float64))
    assert same.variance == pytest.approx(rate.variance, rel=0.3), "each answer twice is no further information"


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_boundary_is_wider_than_that_of_one_look_and_shrinks(alpha: float) -> None:
    boundaries = [compute_boundary(count, alpha) for count in (100, 1000, 10_000, 100_000)]
    assert boundaries == sorted(boundaries, reverse=True)
    assert all(
        boundary * count**0.5 > 1.96 for boundary, count in zip(boundaries, (100, 1000, 10_000, 100_000), strict=True)
    )
    zero = bound_rate(Rate(0.5, 0.0, 1000), alpha)
    assert zero.low == zero.high == 0.5


EXPERIMENT = Experiment("home", 0, (Variant("a", 0.3), Variant("b", 0.3), Variant("c", 0.3)))


def make_counts(**totals: tuple[int, int]) -> dict[str, float]:
    """Spread the impressions and clicks of each variant over 200 groups; a tenth of the clicks are conversions."""
    counts: dict[str, float] = {}
    for name, (impressions, clicked) in totals.items():
        for kind, total in (("impression", impressions), ("click", clicked), ("conversion", clicked // 10)):
            for group in range(200):
                counts[format_count_field(name, kind, group)] = total // 200 + (group < total % 200)
    return counts


def test_clearly_better_variant_is_the_best_and_others_are_undecided() -> None:
    comparison = compare_variants(EXPERIMENT, make_counts(a=(20_000, 2000), b=(20_000, 3000), c=(20_000, 2010)))
    clicks = comparison.metrics["clicks"]
    assert (clicks.status, clicks.best) == ("decided", "b")
    verdicts = {(entry.variant, entry.baseline): entry.verdict for entry in clicks.differences}
    assert verdicts == {("b", "a"): "better", ("c", "a"): "undecided", ("c", "b"): "worse"}
    assert comparison.counts["b"].click == 3000
    tie = compare_variants(EXPERIMENT, make_counts(a=(20_000, 2000), b=(20_000, 3000), c=(20_000, 3000)))
    assert (tie.metrics["clicks"].status, tie.metrics["clicks"].best) == ("undecided", None)


@pytest.mark.parametrize(
    ("totals", "shortage"),
    [
        ((MIN_SHOWN - 1, 100), f"variant b: {MIN_SHOWN - 1} answers were shown, {MIN_SHOWN} are needed"),
        ((5000, MIN_OUTCOMES - 1), f"variant b: {MIN_OUTCOMES - 1} answers have clicks, {MIN_OUTCOMES} are needed"),
        ((500, 600), "variant b: more answers with clicks (600) than shown (500); send impressions"),
        ((0, 0), f"variant b: 0 answers were shown, {MIN_SHOWN} are needed"),
    ],
)
def test_too_little_data_is_said_and_decides_nothing(totals: tuple[int, int], shortage: str) -> None:
    comparison = compare_variants(EXPERIMENT, make_counts(a=(20_000, 9000), b=totals, c=(20_000, 100)))
    clicks = comparison.metrics["clicks"]
    assert (clicks.status, clicks.best, clicks.shortage) == ("too_little_data", None, shortage)
    assert not clicks.rates
    few = {field: count * 100 for field, count in make_counts(a=(9, 9), b=(9, 9), c=(9, 9)).items()}
    comparison = compare_variants(EXPERIMENT, few)
    assert comparison.metrics["clicks"].shortage == (
        f"variant a: 9 groups of users were shown answers, {MIN_GROUPS} are needed"
    )
