"""Markov chain with a short memory: the items that followed the user's last items, a few steps apart at most.

Places where item j follows item i at distance d count 1 / d, and the counts of i are scaled to probabilities. The last
items of a history are mixed with weights of one over their distance to the next event. One last item alone is 3 to 19 %
worse, counts in place of probabilities 8 % worse on ML-1M and 3 % better on Beauty (models/LOG.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from models.baselines.base import Baseline, TrainingEvents, concatenate_newest
from models.baselines.pairs import Pairs, SparseRows, expand_ranges, iter_item_blocks
from models.batch import History

MAX_STEPS = 5
"""Largest distance of a follower, and number of last items that vote."""


@dataclass(frozen=True, slots=True)
class Markov(Baseline):
    """Scores an item by its transition probabilities from the last items."""

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
        return cls(events.num_items, SparseRows.from_pairs(blocks, events.num_items + 1).normalize())

    def collect_candidates(self, histories: Sequence[History]) -> Pairs:
        rows, items, ages = concatenate_newest(histories, MAX_STEPS)
        numbers, followers, probabilities = self.followers.look_up(items)
        return Pairs(rows[numbers], followers, probabilities / (ages[numbers] + 1))
