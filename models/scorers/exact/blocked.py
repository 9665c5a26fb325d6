"""The catalogue in stretches that fit the cache, with a running top k: the (B, items) scores are never written.

Exact, and for tables that lie in memory as they are. A stretch costs its matrix product and its maxima; only rows
whose maximum beats their k-th best so far look closer.
"""

from typing import Self

import torch
from torch import Tensor

from models.batch import PADDING
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.filter import ItemFilter
from models.scorers.order import top_in_order
from models.scorers.vectors import ItemVectors, item_vectors

CELLS = 1 << 19
"""Scores that are held at once, 2 MB: what a core's own cache takes."""
LONGEST, SHORTEST = 1 << 16, 1 << 12  # items of a stretch
ROUND = 64
"""Stretches are a multiple of it, so that none ends within a group of items that belong together."""
WIDTH = CELLS // 32
"""Scores per history that are held at once, when 32 are answered."""


class BlockedScorer(Scorer):
    name = "blocked"
    width = WIDTH

    def __init__(self, vectors: ItemVectors) -> None:
        self._vectors = vectors

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        vectors = item_vectors(model)
        return cls(vectors) if vectors is not None and vectors.is_stored else None

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        running = RunningTop(len(hidden), k, hidden.device)
        for first, end in stretches(self._vectors.num_items + 1, len(hidden)):
            scores = self._vectors.scores(hidden, first, end)
            item_filter.mask(scores, first)
            running.take(scores, first)
        return running.find_top_k()


class RunningTop:
    """The k best of what was seen so far, equals in the order in which they came."""

    def __init__(self, rows: int, k: int, device: torch.device) -> None:
        self._k = k
        self._values = torch.full((rows, k), -torch.inf, device=device)
        self._indices = torch.full((rows, k), PADDING, device=device)

    def take(self, scores: Tensor, first: int) -> None:
        """(B, C) scores of the items from `first` on; stretches come by rising item."""
        better = (scores.amax(-1) > self._values[:, -1]).nonzero().squeeze(-1)
        if not len(better):
            return
        every = len(better) == len(scores)
        values, columns = top_in_order(scores if every else scores[better], min(self._k, scores.shape[1]))
        both = torch.cat((self._values[better], values), dim=-1)
        names = torch.cat((self._indices[better], columns + first), dim=-1)
        # What was there has lower indices and stands first, so a stable sort keeps catalogue order among equals.
        both, order = both.sort(dim=-1, descending=True, stable=True)
        self._values[better] = both[:, : self._k]
        self._indices[better] = names.gather(-1, order)[:, : self._k]

    def find_top_k(self) -> TopK:
        return TopK(self._indices.masked_fill(self._values == -torch.inf, PADDING), self._values)


def stretches(count: int, rows: int) -> list[tuple[int, int]]:
    """[first, end) pairs that cover `count` items; for `rows` rows, `CELLS` scores or less at a time."""
    length = min(LONGEST, max(SHORTEST, CELLS // max(1, rows) // ROUND * ROUND))
    return [(first, min(first + length, count)) for first in range(0, count, length)]
