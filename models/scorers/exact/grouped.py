"""Exact scoring on a GPU without the (B, items) scores: each group's largest, then all items of the k best groups.

All in torch. A CPU has caches that hold a stretch of scores (blocked.py); a GPU wants large pieces and
few launches. It stands for heads whose scores are inner products, compressed tables among them.
"""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from models.batch import PADDING
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.filter import ItemFilter
from models.scorers.order import top_in_order
from models.scorers.vectors import ItemVectors, item_vectors


def group_scores(
    vectors: ItemVectors, query: Tensor, rows: Tensor, groups: Tensor, size: int, item_filter: ItemFilter
) -> Tensor:
    """(P, size): line p has the scores of row `rows[p]` of `query` (B, width) for the items of group `groups[p]`.

    −inf for what may not be answered. No pair of row and group may come twice.
    """
    items = groups[:, None] * size + torch.arange(size, device=groups.device)
    table = vectors.rows(items.flatten().clamp_max(vectors.num_items))
    found = torch.bmm(table.view(len(rows), size, -1), query[rows, :, None]).squeeze(-1)
    item_filter.mask_blocks(found, rows, groups)
    return found


def best_of_groups(scores: Tensor, groups: Tensor, k: int) -> TopK:
    """The k best of (B, G, size) scores; row b has those of the groups `groups[b]` (B, G), in any order."""
    groups, order = groups.sort(dim=-1)
    size = scores.shape[-1]
    in_order = scores.gather(1, order[..., None].expand(-1, -1, size)).flatten(1)
    values, columns = top_in_order(in_order, k)
    indices = groups.gather(-1, columns // size) * size + columns % size
    return TopK(indices.masked_fill(values == -torch.inf, PADDING), values)


def best_by_maxima(
    vectors: ItemVectors, query: Tensor, maxima: Tensor, size: int, k: int, item_filter: ItemFilter
) -> TopK:
    """The k best items, k ≤ num_items, given the largest eligible score of each group, (B, groups), −inf for none."""
    _, groups = top_in_order(maxima, min(k, maxima.shape[1]))
    rows = torch.arange(len(query), device=query.device).repeat_interleave(groups.shape[1])
    scores = group_scores(vectors, query, rows, groups.flatten(), size, item_filter)
    return best_of_groups(scores.view(*groups.shape, size), groups, k)


GROUP = 64
"""Items. Fewer make more maxima to search, more make more items to score again: k times as many."""
CELLS = 1 << 26
"""Scores that are held at once, 268 MB."""
MADE_ROWS = 1 << 18
"""Item vectors that are made at once where they do not lie in memory; codes on the way are a kilobyte for each."""


class ChunkedMaxima:
    def __init__(self, vectors: ItemVectors, cells: int = CELLS) -> None:
        self.groups = -(-(vectors.num_items + 1) // GROUP)
        self._vectors = vectors
        self._cells = cells

    def __call__(self, hidden: Tensor, item_filter: ItemFilter) -> Tensor:
        """(B, dim) float32 → (B, groups); −inf where no item of the group may be answered."""
        end, found = self._vectors.num_items + 1, []
        step = max(GROUP, self._cells // len(hidden) // GROUP * GROUP)
        if not self._vectors.is_stored:
            step = min(step, MADE_ROWS)
        for first in range(0, end, step):
            scores = self._scores(hidden, first, min(first + step, end))
            item_filter.mask(scores, first)
            padded = F.pad(scores, (0, -scores.shape[1] % GROUP), value=-torch.inf)
            found.append(padded.unflatten(1, (-1, GROUP)).amax(-1))
        return torch.cat(found, dim=1)

    def _scores(self, hidden: Tensor, first: int, end: int) -> Tensor:
        if self._vectors.is_stored:
            return self._vectors.scores(hidden, first, end)
        items = torch.arange(first, end, device=hidden.device)
        return F.linear(self._vectors.query(hidden), self._vectors.rows(items))


class GroupedScorer(Scorer):
    name = "grouped"

    def __init__(self, vectors: ItemVectors, cells: int = CELLS) -> None:
        """`cells`: scores that are held at once."""
        self._vectors = vectors
        self._maxima = ChunkedMaxima(vectors, cells)
        self.width = self._maxima.groups

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        vectors = item_vectors(model)
        return cls(vectors) if vectors is not None and vectors.device.type == "cuda" else None

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        hidden = hidden.float()
        query = self._vectors.query(hidden)
        return best_by_maxima(self._vectors, query, self._maxima(hidden, item_filter), GROUP, k, item_filter)
