"""Exact top k by cosine similarity of item vectors, in chunks of the catalogue with a running top k.

Keeps one vector norm per item, computed on construction. Codes are scored by lookup tables; other embeddings produce
the vectors of one chunk at a time, and a table that is in memory is not copied.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from models.embeddings.base import ItemEmbedding
from models.embeddings.codes import LANES, CodesEmbedding
from models.embeddings.full import FullEmbedding
from models.scorers.base import TopK
from models.scorers.exact.blocked import RunningTopK, split_into_chunks
from models.scorers.exact.codes import CodesScorer
from models.scorers.filter import ItemFilter

MIN_NORM = 1e-12
"""Smaller norms count as this, so that no division is by zero."""


class CosineScan:
    """Finds similar items of one embedding, whose weights must not change any more."""

    def __init__(self, embedding: ItemEmbedding) -> None:
        self._embedding = embedding
        self._codes = CodesScorer(embedding, copy=False) if isinstance(embedding, CodesEmbedding) else None
        self._norms = torch.cat(list(self._compute_norms())).clamp_min(MIN_NORM)

    def find_top_k(self, items: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        """Find the `k` eligible items whose vectors have the largest cosine with each of `items` (B,)."""
        unit = self._embedding.table(items).float() / self._norms[items, None]
        lookup = None if self._codes is None else self._codes.build_lookup_table(unit)
        running = RunningTopK(len(items), k, items.device)
        for first, end in split_into_chunks(len(self._norms), len(items)):
            if self._codes is None or lookup is None:
                scores = unit @ self._get_vectors(first, end).T
            else:
                scores = self._codes.sum_lookups(lookup, first, end)[:, : len(items)].T.contiguous()
            scores /= self._norms[first:end]
            item_filter.mask(scores, first)
            running.update(scores, first)
        return running.to_top_k()

    def _compute_norms(self) -> Iterator[Tensor]:
        count = self._embedding.num_items + 1
        if self._codes is None or not isinstance(self._embedding, CodesEmbedding):
            yield from (self._get_vectors(first, end).norm(dim=-1) for first, end in split_into_chunks(count, LANES))
            return
        squares = self._embedding.pieces.weight.float().square().sum(-1, keepdim=True).repeat(1, LANES)
        for first, end in split_into_chunks(count, LANES):
            yield self._codes.sum_lookups(squares, first, end)[:, 0].sqrt()

    def _get_vectors(self, first: int, end: int) -> Tensor:
        """(end − first, dim)"""
        if isinstance(self._embedding, FullEmbedding):
            return self._embedding.table()[first:end].float()
        items = torch.arange(first, end, device=next(self._embedding.parameters()).device)
        return self._embedding.table(items).float()
