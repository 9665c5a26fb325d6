"""V-SKNN: items of the past sessions that share the newest items of the current one.

Vector multiplication session-based kNN of Ludewig and Jannach (2018, doi:10.1007/s11257-018-9209-6): the similarity of
two sessions is the sum of weights over the items they share. The newest event of the current session weighs 1, earlier
ones linearly less; each item also weighs its inverse document frequency. A user's training history is a session.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from models.baselines.base import Baseline, TrainingEvents, concatenate_newest
from models.baselines.cooccurrence import select_different_items
from models.baselines.pairs import Pairs, SparseRows, select_strongest, sum_pairs
from models.batch import History

MAX_SESSION = 100
"""Newest different items of a past session."""
MAX_SESSIONS_PER_ITEM = 500
"""Sessions that are candidates for an item, those with the newest last event."""
MAX_NEIGHBOURS = 100
"""Sessions that vote for their items."""
MAX_QUERY = 20
"""Newest events of the current session."""


@dataclass(frozen=True, slots=True)
class Vsknn(Baseline):
    """Scores an item by the sum of the similarities of the nearest sessions that contain it."""

    name: ClassVar[str] = "vsknn"
    num_items: int
    num_sessions: int
    sessions_by_item: SparseRows
    items_by_session: SparseRows

    @classmethod
    def fit(cls, events: TrainingEvents) -> Self:
        items, offsets = select_different_items(events, MAX_SESSION)
        sessions = np.repeat(np.arange(events.num_users), np.diff(offsets))
        counts = np.bincount(items, minlength=events.num_items + 1)
        idf = np.log1p(events.num_users / np.maximum(1, counts))
        newest_first = np.argsort(np.argsort(-events.last_times, kind="stable"), kind="stable")
        order = np.lexsort((newest_first[sessions], items))
        starts = np.cumsum(counts) - counts
        order = order[np.arange(len(order)) - starts[items[order]] < MAX_SESSIONS_PER_ITEM]
        postings = Pairs(items[order], sessions[order], idf[items[order]])
        return cls(
            events.num_items,
            events.num_users,
            SparseRows.from_pairs(iter((postings,)), events.num_items + 1),
            SparseRows.from_pairs(iter((Pairs(sessions, items, np.ones(len(items))),)), events.num_users),
        )

    def collect_candidates(self, histories: Sequence[History]) -> Pairs:
        neighbours = self._find_neighbours(histories)
        numbers, items, _ = self.items_by_session.look_up(neighbours.columns)
        return Pairs(neighbours.rows[numbers], items, neighbours.weights[numbers])

    def _find_neighbours(self, histories: Sequence[History]) -> Pairs:
        """Find the most similar sessions: pairs of a row and a session, weighted by similarity."""
        rows, items, decay = weigh_newest(histories, MAX_QUERY, self.num_items)
        numbers, sessions, idf = self.sessions_by_item.look_up(items)
        shared = Pairs(rows[numbers], sessions, decay[numbers] * idf)
        summed = sum_pairs(shared, len(histories), self.num_sessions)
        return select_strongest(summed, len(histories), MAX_NEIGHBOURS)


def weigh_newest(
    histories: Sequence[History], max_events: int, num_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """List rows, different items and weights of the newest events: 1 for the last, linearly less before it."""
    rows, items, ages = concatenate_newest(histories, max_events)
    lengths = np.bincount(rows, minlength=len(histories))
    weights = (lengths[rows] - ages) / lengths[rows]
    _, from_end = np.unique((rows * (num_items + 1) + items)[::-1], return_index=True)
    newest = len(items) - 1 - from_end
    return rows[newest], items[newest], weights[newest]
