"""Popularity: every user gets the items with the most training events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from models.baselines.base import Baseline, TrainingEvents
from models.baselines.pairs import Pairs
from models.batch import History


@dataclass(frozen=True, slots=True)
class Popular(Baseline):
    """Ranks in catalogue order, which is the order of training counts."""

    name: ClassVar[str] = "popular"
    num_items: int

    @classmethod
    def fit(cls, events: TrainingEvents) -> Self:
        return cls(events.num_items)

    def collect_candidates(self, histories: Sequence[History]) -> Pairs:  # noqa: ARG002 - popularity reads none
        """None: the ranking fills up with popular items."""
        return Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))
