"""Scores the catalogue in chunks that fit the cache, with a running top k.

Never writes (B, items) scores. Exact, for tables that are in memory uncompressed. A chunk costs its matrix product and
its maxima; only rows whose maximum exceeds their current k-th value select a top k from it.
"""

from typing import Self

import torch
from torch import Tensor

from models.batch import PADDING
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.filter import ItemFilter
from models.scorers.order import select_top_k
from models.scorers.vectors import ItemVectors, get_item_vectors

CHUNK_CELLS = 1 << 19
"""Scores held at a time, 2 MB: the size of a core's private cache."""
MAX_CHUNK, MIN_CHUNK = 1 << 16, 1 << 12  # items
CHUNK_MULTIPLE = 64
"""Chunk lengths are multiples of it, so that no chunk ends within a group of items."""
WIDTH = CHUNK_CELLS // 32
"""Scores per history held at a time, for a batch of 32."""


class BlockedScorer(Scorer):
    """Multiplies hidden vectors by one chunk of the table at a time."""

    name = "blocked"
    width = WIDTH

    def __init__(self, vectors: ItemVectors) -> None:
        self._vectors = vectors

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        vectors = get_item_vectors(model)
        return cls(vectors) if vectors is not None and vectors.is_stored else None

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:
        vectors = get_item_vectors(model)
        return 0 if vectors is not None and vectors.is_stored else None

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        running = RunningTopK(len(hidden), k, hidden.device)
        for first, end in split_into_chunks(self._vectors.num_items + 1, len(hidden)):
            scores = self._vectors.compute_scores(hidden, first, end)
            item_filter.mask(scores, first)
            running.update(scores, first)
        return running.to_top_k()


class RunningTopK:
    """The top k of all chunks so far, ties in catalogue order."""

    def __init__(self, rows: int, k: int, device: torch.device) -> None:
        self._k = k
        self._values = torch.full((rows, k), -torch.inf, device=device)
        self._indices = torch.full((rows, k), PADDING, device=device)

    def update(self, scores: Tensor, first: int) -> None:
        """Merge (B, C) scores of the items from `first`; chunks must come in catalogue order."""
        better = (scores.amax(-1) > self._values[:, -1]).nonzero().squeeze(-1)
        if not len(better):
            return
        is_every_row = len(better) == len(scores)
        values, columns = select_top_k(scores if is_every_row else scores[better], min(self._k, scores.shape[1]))
        merged_values = torch.cat((self._values[better], values), dim=-1)
        merged_indices = torch.cat((self._indices[better], columns + first), dim=-1)
        # Earlier items have lower indices and come first, so a stable sort keeps ties in catalogue order.
        merged_values, order = merged_values.sort(dim=-1, descending=True, stable=True)
        self._values[better] = merged_values[:, : self._k]
        self._indices[better] = merged_indices.gather(-1, order)[:, : self._k]

    def to_top_k(self) -> TopK:
        return TopK(self._indices.masked_fill(self._values == -torch.inf, PADDING), self._values)


def split_into_chunks(count: int, rows: int) -> list[tuple[int, int]]:
    """Return [first, end) ranges that cover `count` items, with up to `CHUNK_CELLS` scores of `rows` rows each."""
    length = min(MAX_CHUNK, max(MIN_CHUNK, CHUNK_CELLS // max(1, rows) // CHUNK_MULTIPLE * CHUNK_MULTIPLE))
    return [(first, min(first + length, count)) for first in range(0, count, length)]
