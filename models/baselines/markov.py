"""Markov chain: the items that followed the user's last item, a few steps apart at most."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from models.baselines.base import Baseline, TrainingEvents, concatenate_newest
from models.baselines.pairs import Pairs, SparseRows, expand_ranges, iter_item_blocks
from models.batch import History

MAX_STEPS = 5
"""Largest distance of a follower; it counts one over the distance."""


@dataclass(frozen=True, slots=True)
class Markov(Baseline):
    """Scores item j after last item i by the sum of 1 / distance over all places where j follows i."""

    name: ClassVar[str] = "markov"
    num_items: int
    followers: SparseRows

    @classmethod
    def fit(cls, events: TrainingEvents) -> Self:
        ends = np.repeat(events.offsets[1:], np.diff(events.offsets))
        num_followers = np.minimum(ends - 1 - np.arange(len(events.items)), MAX_STEPS)

        def expand(positions: NDArray[np.int64]) -> Pairs:
            numbers, later = expand_ranges(positions + 1, num_followers[positions])
            earlier = positions[numbers]
            return Pairs(events.items[earlier], events.items[later], 1.0 / (later - earlier))

        blocks = iter_item_blocks(events.items, num_followers, events.num_items, expand)
        return cls(events.num_items, SparseRows.from_pairs(blocks, events.num_items + 1))

    def collect_candidates(self, histories: Sequence[History]) -> Pairs:
        rows, items, _ = concatenate_newest(histories, 1)
        numbers, followers, weights = self.followers.look_up(items)
        return Pairs(rows[numbers], followers, weights)
