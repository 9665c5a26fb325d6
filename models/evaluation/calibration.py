"""Calibration by category: whether an answer has the categories of the user's history in their proportions.

The miscalibration of a user is the Kullback-Leibler divergence KL(p ‖ q̃) of the history's shares p from the answer's
shares q, where q̃ = 0.99 q + 0.01 p, so that a category that is missing from the answer costs a bounded amount
(Steck 2018, Calibrated Recommendations). An item with several categories counts the same part in each. 0 is perfect.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue.categories import CategoryIndex
from models.data.splits import Cases

CUTOFF = 10
SMOOTHING = 0.01
MAX_CASES = 5_000
"""Most cases that are measured, evenly spaced; the shares of a few thousand users are certain to a percent."""
MAX_CATEGORIES = 20
"""Categories that are listed, those with the largest shares in the histories."""


@dataclass(frozen=True, slots=True)
class CategoryShare:
    """Mean over users of a category's share of the history and of the answer."""

    name: str
    history: float
    recommended: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`miscalibration` is the mean over `num_users` users with categories in both; `categories` are the largest."""

    miscalibration: float
    num_users: int
    num_categories: int
    categories: list[CategoryShare]

    def to_json(self) -> dict[str, Any]:
        return {
            f"miscalibration@{CUTOFF}": self.miscalibration,
            "users": self.num_users,
            "num_categories": self.num_categories,
            "categories": [
                {"category": each.name, "history": each.history, f"recommended@{CUTOFF}": each.recommended}
                for each in self.categories
            ],
        }


def compute_calibration(
    recommended: NDArray[np.int64], cases: Cases, categories: CategoryIndex, *, max_cases: int = MAX_CASES
) -> Calibration | None:
    """Compute the calibration of the first ten of (N, k) recommended items; None without any category in both."""
    if not len(cases) or not len(categories.names):
        return None
    rows = np.linspace(0, len(cases) - 1, min(len(cases), max_cases)).astype(np.int64)
    histories = _share_categories([cases.histories[row] for row in rows], categories)
    answers = _share_categories(list(recommended[rows, :CUTOFF]), categories)
    usable = np.intersect1d(histories.users, answers.users)
    if not len(usable):
        return None
    histories, answers = histories.select(usable), answers.select(usable)
    size = len(categories.names)
    history_shares = np.bincount(histories.categories, histories.shares, size) / len(usable)
    answer_shares = np.bincount(answers.categories, answers.shares, size) / len(usable)
    largest = np.argsort(-history_shares, kind="stable")[:MAX_CATEGORIES]
    return Calibration(
        _sum_divergences(histories, answers, size) / len(usable),
        len(usable),
        size,
        [
            CategoryShare(categories.names[number], float(history_shares[number]), float(answer_shares[number]))
            for number in largest.tolist()
        ],
    )


@dataclass(frozen=True, slots=True)
class _Shares:
    """Shares of categories, in order of user and category, which sum to 1 per user."""

    users: NDArray[np.int64]
    categories: NDArray[np.int64]
    shares: NDArray[np.float64]

    def select(self, users: NDArray[np.int64]) -> "_Shares":
        rows = np.isin(self.users, users)
        return _Shares(self.users[rows], self.categories[rows], self.shares[rows])


def _share_categories(lists: Sequence[NDArray[np.int64]], categories: CategoryIndex) -> _Shares:
    """Sum up the categories of lists of items (0 for none), and divide by the sum of each list."""
    items = np.concatenate([np.asarray(each, dtype=np.int64) for each in lists])
    users = np.repeat(np.arange(len(lists)), [len(each) for each in lists])
    is_item = items > 0
    positions, users = items[is_item] - 1, users[is_item]
    starts = np.concatenate(([0], categories.ends[:-1]))[positions]
    lengths = categories.ends[positions] - starts
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    numbers = categories.numbers[np.repeat(starts, lengths) + offsets].astype(np.int64)
    keys, inverse = np.unique(np.repeat(users, lengths) * len(categories.names) + numbers, return_inverse=True)
    weights = np.bincount(inverse, np.repeat(1.0 / np.maximum(1, lengths), lengths), len(keys))
    owners = keys // len(categories.names)
    totals = np.bincount(owners, weights, len(lists))
    return _Shares(owners, keys % len(categories.names), weights / totals[owners])


def _sum_divergences(histories: _Shares, answers: _Shares, num_categories: int) -> float:
    """Sum KL(p ‖ q̃) over all users."""
    keys = histories.users * num_categories + histories.categories
    other_keys = answers.users * num_categories + answers.categories
    places = np.minimum(np.searchsorted(other_keys, keys), len(other_keys) - 1)
    q = np.where(other_keys[places] == keys, answers.shares[places], 0.0)
    p = histories.shares
    return float(np.sum(p * np.log(p / ((1 - SMOOTHING) * q + SMOOTHING * p))))
