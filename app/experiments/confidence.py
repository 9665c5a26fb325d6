"""Confidence sequences for rates and their differences: valid at every moment, so results may be looked at any time.

An interval for a fixed number of answers is right if it is computed once. A reader who looks every hour and stops at
the first difference finds one where there is none. A confidence sequence covers the true value at all times together
with probability 1 - alpha.

Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory and asymptotic confidence
sequences, Annals of Statistics 52(6), 2024, arXiv:2103.06476: a sum of t observations with standard deviation s stays
within s sqrt(2 (t r^2 + 1) / r^2 log(sqrt(t r^2 + 1) / alpha)) of its mean, for any r > 0 (a normal mixture, as of
Robbins). It is asymptotic, so a minimum of data comes first (`comparison.py`).

The answers of one user depend on each other, and users are what is assigned. So variances are those of the sums of
groups of users (the linearization of a ratio of sums, Cochran, Sampling Techniques, 3rd ed., section 6.3).
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

TUNED_ANSWERS = 10_000
"""Number of answers at which the intervals are narrowest; they are valid at any number."""


@dataclass(frozen=True, slots=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Share of `num_shown` answers with an outcome, and the variance of this estimate."""

    value: float
    variance: float
    num_shown: int


def estimate_rate(answers: NDArray[np.float64], outcomes: NDArray[np.float64]) -> Rate:
    """Estimate a rate from the number of answers and of outcomes in each group of users; (groups,) each."""
    total = float(answers.sum())
    value = float(outcomes.sum()) / total
    num_groups = int(np.count_nonzero(answers))
    residuals = outcomes - value * answers
    variance = num_groups / max(1, num_groups - 1) * float(residuals @ residuals) / total**2
    return Rate(value, variance, int(total))


def bound_rate(rate: Rate, alpha: float) -> Interval:
    """Return the confidence sequence of a rate at this moment."""
    width = sqrt(rate.variance * rate.num_shown) * compute_boundary(rate.num_shown, alpha)
    return Interval(rate.value, max(0.0, rate.value - width), min(1.0, rate.value + width))


def bound_difference(rate: Rate, baseline: Rate, alpha: float) -> Interval:
    """Return the confidence sequence of `rate` - `baseline`, whose users are different ones."""
    num_shown = rate.num_shown + baseline.num_shown
    width = sqrt((rate.variance + baseline.variance) * num_shown) * compute_boundary(num_shown, alpha)
    difference = rate.value - baseline.value
    return Interval(difference, difference - width, difference + width)


def compute_boundary(count: int, alpha: float) -> float:
    """Half the width for the mean of `count` observations with a standard deviation of 1."""
    # About the r that makes the interval narrowest at TUNED_ANSWERS.
    scaled = count * (-2 * log(alpha) + log(1 - 2 * log(alpha))) / TUNED_ANSWERS
    return sqrt(2 * (scaled + 1) / (count * scaled) * log(sqrt(scaled + 1) / alpha))
