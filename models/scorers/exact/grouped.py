"""Exact scoring on a GPU by group maxima, then all items of the k best groups.

Never writes (B, items) scores. In torch, for heads whose scores are inner products, over compressed tables too. CPUs
use `blocked`, whose chunks fit a cache; a GPU needs large chunks and few launches.

A few groups are enough. Take the k groups with the largest maxima, the earlier one of a tie. They hold k items that
score at least the smallest of these maxima. An item of another group scores at most its group's maximum, which is
smaller, or is equal and comes later in the catalogue. So these groups hold the top k, in order.
"""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from models.batch import PADDING
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.filter import ItemFilter
from models.scorers.order import select_top_k
from models.scorers.vectors import ItemVectors, get_item_vectors

GROUP = 64
"""Items. Smaller groups have more maxima to search; larger ones have k times as many items to score again."""
CHUNK_CELLS = 1 << 26
"""Scores held at a time, 268 MB."""
MAX_DECODED_ROWS = 1 << 18
"""Item vectors decoded at a time where they are not stored; unpacked codes take a kilobyte each."""


class GroupedScorer(Scorer):
    """Finds group maxima in chunks of the catalogue, in torch."""

    name = "grouped"

    def __init__(self, vectors: ItemVectors, cells: int = CHUNK_CELLS) -> None:
        """`cells`: scores held at a time."""
        self._vectors = vectors
        self._maxima = ChunkedMaxima(vectors, cells)
        self.width = self._maxima.groups

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        vectors = get_item_vectors(model)
        return cls(vectors) if vectors is not None and vectors.device.type == "cuda" else None

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:
        return None if get_item_vectors(model) is None else 0

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        hidden = hidden.float()
        query = self._vectors.to_query(hidden)
        return find_top_k_by_maxima(self._vectors, query, self._maxima(hidden, item_filter), GROUP, k, item_filter)


class ChunkedMaxima:
    """Finds the largest eligible score of each group of items; the reference for the Triton kernel.

    The scores of a chunk are written and read once, those of the catalogue never.
    """

    def __init__(self, vectors: ItemVectors, cells: int = CHUNK_CELLS) -> None:
        self.groups = -(-(vectors.num_items + 1) // GROUP)
        self._vectors = vectors
        self._cells = cells

    def __call__(self, hidden: Tensor, item_filter: ItemFilter) -> Tensor:
        """(B, dim) float32 → (B, groups); −inf for a group without an eligible item."""
        end, maxima = self._vectors.num_items + 1, []
        step = max(GROUP, self._cells // len(hidden) // GROUP * GROUP)
        if not self._vectors.is_stored:
            step = min(step, MAX_DECODED_ROWS)
        for first in range(0, end, step):
            scores = self._compute_scores(hidden, first, min(first + step, end))
            item_filter.mask(scores, first)
            padded = F.pad(scores, (0, -scores.shape[1] % GROUP), value=-torch.inf)
            maxima.append(padded.unflatten(1, (-1, GROUP)).amax(-1))
        return torch.cat(maxima, dim=1)

    def _compute_scores(self, hidden: Tensor, first: int, end: int) -> Tensor:
        if self._vectors.is_stored:
            return self._vectors.compute_scores(hidden, first, end)
        items = torch.arange(first, end, device=hidden.device)
        return F.linear(self._vectors.to_query(hidden), self._vectors.get_rows(items))


def score_groups(
    vectors: ItemVectors, query: Tensor, rows: Tensor, groups: Tensor, size: int, item_filter: ItemFilter
) -> Tensor:
    """Score all items of P pairs of row and group → (P, size).

    Line p has the scores of row `rows[p]` of `query` (B, width) for the items of group `groups[p]`. Filtered items
    score −inf. Pairs of row and group must be unique.
    """
    items = groups[:, None] * size + torch.arange(size, device=groups.device)
    table = vectors.get_rows(items.flatten().clamp_max(vectors.num_items))
    scores = torch.bmm(table.view(len(rows), size, -1), query[rows, :, None]).squeeze(-1)
    item_filter.mask_blocks(scores, rows, groups)
    return scores


def select_from_groups(scores: Tensor, groups: Tensor, k: int) -> TopK:
    """Select the top k of (B, G, size) scores; row b has those of the groups `groups[b]` (B, G), in any order."""
    groups, order = groups.sort(dim=-1)
    size = scores.shape[-1]
    in_order = scores.gather(1, order[..., None].expand(-1, -1, size)).flatten(1)
    values, columns = select_top_k(in_order, k)
    indices = groups.gather(-1, columns // size) * size + columns % size
    return TopK(indices.masked_fill(values == -torch.inf, PADDING), values)


def find_top_k_by_maxima(
    vectors: ItemVectors, query: Tensor, maxima: Tensor, size: int, k: int, item_filter: ItemFilter
) -> TopK:
    """Find the top k, k ≤ num_items, from the largest eligible score of each group (B, groups), −inf for none."""
    _, groups = select_top_k(maxima, min(k, maxima.shape[1]))
    rows = torch.arange(len(query), device=query.device).repeat_interleave(groups.shape[1])
    scores = score_groups(vectors, query, rows, groups.flatten(), size, item_filter)
    return select_from_groups(scores.view(*groups.shape, size), groups, k)
