"""Item-to-item co-occurrence: items that the same users have, by cosine, summed over the user's history.

The cosine of two items is that of their columns in the matrix of users and items (Sarwar et al. 2001,
doi:10.1145/371920.372071).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from models.baselines.base import Baseline, TrainingEvents, concatenate_newest
from models.baselines.pairs import Pairs, SparseRows, expand_ranges, iter_item_blocks, select_strongest
from models.batch import History

MAX_HISTORY = 200
"""Newest different items of a user that are counted; bounds the pairs of a long history."""
MAX_NEIGHBOURS = 200
"""Items that are stored for each item, the most similar ones."""
MAX_QUERY = 50
"""Newest events of a history that vote."""
SELECTION_CELLS = 8_000_000
"""Largest matrix from which the neighbors of several items are selected together."""


@dataclass(frozen=True, slots=True)
class Cooccurrence(Baseline):
    """Scores an item by the sum of its cosines with the different items of the history."""

    name: ClassVar[str] = "cooccurrence"
    num_items: int
    neighbours: SparseRows

    @classmethod
    def fit(cls, events: TrainingEvents) -> Self:
        items, offsets = select_different_items(events, MAX_HISTORY)
        starts = np.repeat(offsets[:-1], np.diff(offsets))
        lengths = np.repeat(np.diff(offsets), np.diff(offsets))
        norms = np.sqrt(np.maximum(1, np.bincount(items, minlength=events.num_items + 1)))

        def expand(positions: NDArray[np.int64]) -> Pairs:
            numbers, near = expand_ranges(starts[positions], lengths[positions])
            rows, columns = items[positions[numbers]], items[near]
            is_pair = rows != columns
            return Pairs(rows[is_pair], columns[is_pair], np.ones(int(is_pair.sum())))

        def iter_neighbours() -> Iterator[Pairs]:
            for block in iter_item_blocks(items, lengths, events.num_items, expand):
                cosines = block.weights / (norms[block.rows] * norms[block.columns])
                yield from _prune(Pairs(block.rows, block.columns, cosines), events.num_items)

        return cls(events.num_items, SparseRows.from_pairs(iter_neighbours(), events.num_items + 1))

    def collect_candidates(self, histories: Sequence[History]) -> Pairs:
        rows, items, _ = concatenate_newest(histories, MAX_QUERY)
        keys = np.unique(rows * (self.num_items + 1) + items)
        rows, items = keys // (self.num_items + 1), keys % (self.num_items + 1)
        numbers, neighbours, weights = self.neighbours.look_up(items)
        return Pairs(rows[numbers], neighbours, weights)


def select_different_items(events: TrainingEvents, max_items: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Drop repeats of an item within a user, then all but the newest items: items and offsets, ordered by last event.

    An item of a user stays at its last position.
    """
    keys = events.users * (events.num_items + 1) + events.items
    _, from_end = np.unique(keys[::-1], return_index=True)
    positions = np.sort(len(keys) - 1 - from_end)
    users = events.users[positions]
    lengths = np.bincount(users, minlength=events.num_users)
    age = np.cumsum(lengths)[users] - 1 - np.arange(len(users))
    is_new = age < max_items
    lengths = np.minimum(lengths, max_items)
    return events.items[positions[is_new]], np.concatenate(([0], np.cumsum(lengths)))


def _prune(pairs: Pairs, num_items: int) -> Iterator[Pairs]:
    """Keep the strongest neighbors of each item, a few rows at a time, so that the matrix of a selection is small."""
    if not len(pairs.rows):
        return
    step = max(1, SELECTION_CELLS // (num_items + 1))
    for first in range(int(pairs.rows[0]), int(pairs.rows[-1]) + 1, step):
        part = slice(*np.searchsorted(pairs.rows, (first, first + step)))
        rows = Pairs(pairs.rows[part] - first, pairs.columns[part], pairs.weights[part])
        best = select_strongest(rows, step, MAX_NEIGHBOURS)
        yield Pairs(best.rows + first, best.columns, best.weights)
