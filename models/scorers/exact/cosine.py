"""Items by the cosine of their vectors with some: the catalogue in stretches, with a running top k. Exact.

What it keeps is a length per item, found at the first question. Codes are scored and measured as they are; other forms
give the vectors of one stretch at a time, and a table that lies in memory is not copied.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from models.embeddings.base import ItemEmbedding
from models.embeddings.codes import LANES, CodesEmbedding
from models.embeddings.full import FullEmbedding
from models.scorers.base import TopK
from models.scorers.exact.blocked import RunningTop, stretches
from models.scorers.exact.codes import CodesScorer
from models.scorers.filter import ItemFilter

SHORTEST = 1e-12
"""Lengths below count as this, so that nothing is divided by zero."""


class CosineScan:
    """Of one embedding, whose weights must not change any more."""

    def __init__(self, embedding: ItemEmbedding) -> None:
        self._embedding = embedding
        self._codes = CodesScorer(embedding, copy=False) if isinstance(embedding, CodesEmbedding) else None
        self._lengths = torch.cat(list(self._stretch_lengths())).clamp_min(SHORTEST)

    def find_top_k(self, items: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        """The `k` item_filter items whose vectors have the largest cosine with each of `items` (B,)."""
        unit = self._embedding.table(items).float() / self._lengths[items, None]
        products = None if self._codes is None else self._codes.products(unit)
        running = RunningTop(len(items), k, items.device)
        for first, end in stretches(len(self._lengths), len(items)):
            if self._codes is None or products is None:
                scores = unit @ self._vectors(first, end).T
            else:
                scores = self._codes.sums(products, first, end)[:, : len(items)].T.contiguous()
            scores /= self._lengths[first:end]
            item_filter.mask(scores, first)
            running.take(scores, first)
        return running.find_top_k()

    def _stretch_lengths(self) -> Iterator[Tensor]:
        count = self._embedding.num_items + 1
        if self._codes is None or not isinstance(self._embedding, CodesEmbedding):
            yield from (self._vectors(first, end).norm(dim=-1) for first, end in stretches(count, LANES))
            return
        squares = self._embedding.pieces.weight.float().square().sum(-1, keepdim=True).repeat(1, LANES)
        for first, end in stretches(count, LANES):
            yield self._codes.sums(squares, first, end)[:, 0].sqrt()

    def _vectors(self, first: int, end: int) -> Tensor:
        """(end − first, dim)"""
        if isinstance(self._embedding, FullEmbedding):
            return self._embedding.table()[first:end].float()
        items = torch.arange(first, end, device=next(self._embedding.parameters()).device)
        return self._embedding.table(items).float()
