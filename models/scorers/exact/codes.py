"""Scores product-quantization codes in torch: one lookup table per history, then a sum of m entries per item.

Items are scored in chunks with a running top k; neither item vectors nor all scores are ever written. Codes packed in
six bits are copied as bytes, because unpacking takes longer than summing. Skipping blocks of items by an upper bound
was measured and does not pay (docs/benchmarks/negatives.md).
"""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from models.embeddings import packing
from models.embeddings.codes import LANES, CodesEmbedding
from models.heads.tied import TiedHead
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.blocked import WIDTH, RunningTopK, split_into_chunks
from models.scorers.filter import ItemFilter

UNPACK_ITEMS = 1 << 14  # items unpacked at a time


class CodesScorer(Scorer):
    """Scores items as sums of lookup-table entries, in torch."""

    name = "codes"

    def __init__(self, embedding: CodesEmbedding, *, copy: bool = True) -> None:
        """Without `copy`, packed codes are unpacked on every scan: for rare scans."""
        self._embedding = embedding
        self._count = embedding.num_items + 1
        self.width = min(WIDTH, self._count)
        self._offsets = torch.arange(embedding.num_subspaces, device=embedding.kept.device, dtype=torch.int32)
        self._offsets *= embedding.codebook_size
        self._copy: Tensor | None = None
        if embedding.is_packed and copy:
            size = (self._count, embedding.num_subspaces)
            self._copy = torch.empty(size, dtype=torch.uint8, device=embedding.kept.device)
            for first in range(0, self._count, UNPACK_ITEMS):
                end = first + UNPACK_ITEMS
                self._copy[first:end] = packing.unpack(embedding.kept[first:end])
            self.nbytes = self._copy.nbytes

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        embedding = get_tied_codes(model)
        return None if embedding is None else cls(embedding)

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:
        embedding = get_tied_codes(model)
        if embedding is None:
            return None
        return (embedding.num_items + 1) * embedding.num_subspaces if embedding.is_packed else 0

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        lookup = self.build_lookup_table(hidden.float())
        running = RunningTopK(len(hidden), k, hidden.device)
        for first, end in split_into_chunks(self._count, len(hidden)):
            scores = self.sum_lookups(lookup, first, end)[:, : len(hidden)].T.contiguous()
            item_filter.mask(scores, first)
            running.update(scores, first)
        return running.to_top_k()

    def build_lookup_table(self, hidden: Tensor) -> Tensor:
        """(B, dim) → (m · codebook size, B): product of each history with each centroid.

        Rows are padded to eight columns, because narrower rows take longer to sum.
        """
        embedding = self._embedding
        flat = hidden.reshape(-1, embedding.num_subspaces, embedding.dim // embedding.num_subspaces)
        codebooks = embedding.pieces.weight.float().unflatten(0, (embedding.num_subspaces, embedding.codebook_size))
        products = torch.einsum("mcd,nmd->mcn", codebooks, flat).flatten(0, 1)
        return F.pad(products, (0, max(0, LANES - len(flat)))).contiguous()

    def sum_lookups(self, lookup: Tensor, first: int, end: int) -> Tensor:
        """Sum the rows of (m · codebook size, N) that the codes of each item select → (end − first, N)."""
        return F.embedding_bag(self._get_codes(first, end).int() + self._offsets, lookup, mode="sum")

    def _get_codes(self, first: int, end: int) -> Tensor:
        if self._copy is not None:
            return self._copy[first:end]
        stored_codes = self._embedding.kept[first:end]
        return packing.unpack(stored_codes) if self._embedding.is_packed else stored_codes


def get_tied_codes(model: SequentialRecommender) -> CodesEmbedding | None:
    """Return the embedding if it has codes and the head scores by inner products with its vectors."""
    is_tied = isinstance(model.head, TiedHead)
    return model.embedding if is_tied and isinstance(model.embedding, CodesEmbedding) else None
