"""The interface of a baseline: count the training part once, then rank items after histories.

Baselines need no gradient and no tuning. They show what a trained model is worth on a log.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from models.baselines.pairs import Pairs, sum_pairs
from models.baselines.ranking import rank_pairs
from models.batch import History, Times

BATCH_ROWS = 256
"""Histories that are ranked together; bounds the memory of their candidates."""
MAX_TRAINING_EVENTS = 10_000_000
"""Most events that a baseline counts; of larger logs it reads evenly spaced users."""


@dataclass(frozen=True, slots=True)
class TrainingEvents:
    """The training part of a log as one array: user u has `items[offsets[u] : offsets[u + 1]]`, oldest first.

    `last_times` (num_users,) are seconds since 1970 of each user's newest training event; zeros if unknown.
    """

    items: NDArray[np.int64]
    offsets: NDArray[np.int64]
    last_times: NDArray[np.int64]
    num_items: int

    @classmethod
    def from_histories(
        cls, histories: Sequence[History], num_items: int, times: Sequence[Times] | None = None
    ) -> "TrainingEvents":
        """Concatenate training histories of catalogue indices, at most `MAX_TRAINING_EVENTS` events."""
        rows = [row for row, history in enumerate(histories) if len(history)]
        stride = -(-sum(map(len, histories)) // MAX_TRAINING_EVENTS)
        rows = rows[:: max(1, stride)]
        lengths = np.array([len(histories[row]) for row in rows], dtype=np.int64)
        items = np.concatenate([np.empty(0, dtype=np.int64), *(histories[row] for row in rows)])
        newest = [0 if times is None else int(times[row][-1]) for row in rows]
        return cls(items, np.concatenate(([0], np.cumsum(lengths))), np.array(newest, dtype=np.int64), num_items)

    @property
    def num_users(self) -> int:
        return len(self.offsets) - 1

    @property
    def users(self) -> NDArray[np.int64]:
        """The user row of every event."""
        return np.repeat(np.arange(self.num_users), np.diff(self.offsets))


class Baseline(ABC):
    """Ranks items by counts; items without any evidence follow in catalogue order, which is popularity."""

    name: ClassVar[str]
    num_items: int

    @classmethod
    @abstractmethod
    def fit(cls, events: TrainingEvents) -> Self:
        """Count the training events."""

    @abstractmethod
    def collect_candidates(self, histories: Sequence[History]) -> Pairs:
        """Collect scored candidates: pairs of a row of `histories` and an item; scores of equal pairs add up."""

    def rank(
        self, histories: Sequence[History], k: int, *, excluded: Sequence[History] | None = None
    ) -> NDArray[np.int64]:
        """Find the k best items after each history, ties in catalogue order: (N, k), 0 past the last eligible item."""
        tops = [np.empty((0, k), dtype=np.int64)]
        for start in range(0, len(histories), BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            batch = histories[rows]
            pairs = sum_pairs(self.collect_candidates(batch), len(batch), self.num_items + 1)
            tops.append(rank_pairs(pairs, len(batch), self.num_items, k, None if excluded is None else excluded[rows]))
        return np.concatenate(tops)


def concatenate_newest(
    histories: Sequence[History], max_events: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Concatenate the newest events of each history.

    Returns (E,) rows of `histories`, (E,) items and (E,) ages: 0 for the newest event of a history, 1 for the one
    before it, and so on.
    """
    newest = [history[max(0, len(history) - max_events) :] for history in histories]
    lengths = np.array([len(history) for history in newest], dtype=np.int64)
    rows = np.repeat(np.arange(len(newest)), lengths)
    ages = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(len(rows))
    return rows, np.concatenate([np.empty(0, dtype=np.int64), *newest]), ages
