"""Product codes scored as they are, stretch by stretch with a running top k: m × codebook partial products per history,
then a sum of m of them per item. Neither item vectors nor all scores are ever written.

Codes packed in six bits are kept once more as bytes, because to unpack them takes longer than to add them up. Skipping
blocks of items by an upper bound was measured and does not pay: DECISIONS.md, decision 17.
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
from models.scorers.exact.blocked import WIDTH, RunningTop, stretches
from models.scorers.filter import ItemFilter

CHUNK = 1 << 14  # items that are unpacked at once


class CodesScorer(Scorer):
    name = "codes"

    def __init__(self, embedding: CodesEmbedding, *, copy: bool = True) -> None:
        """Without a copy, packed codes are unpacked at every scan: for who seldom scans."""
        self._embedding = embedding
        self._count = embedding.num_items + 1
        self.width = min(WIDTH, self._count)
        self._starts = torch.arange(embedding.num_subspaces, device=embedding.kept.device, dtype=torch.int32)
        self._starts *= embedding.codebook_size
        self._copy: Tensor | None = None
        if embedding.is_packed and copy:
            self._copy = torch.empty(
                self._count, embedding.num_subspaces, dtype=torch.uint8, device=embedding.kept.device
            )
            for first in range(0, self._count, CHUNK):
                self._copy[first : first + CHUNK] = packing.unpack(embedding.kept[first : first + CHUNK])
            self.nbytes = self._copy.nbytes

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        is_tied = isinstance(model.head, TiedHead)
        return cls(model.embedding) if is_tied and isinstance(model.embedding, CodesEmbedding) else None

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int:
        embedding = model.embedding
        if not isinstance(embedding, CodesEmbedding) or not embedding.is_packed:
            return 0
        return (embedding.num_items + 1) * embedding.num_subspaces

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        products = self.products(hidden.float())
        running = RunningTop(len(hidden), k, hidden.device)
        for first, end in stretches(self._count, len(hidden)):
            scores = self.sums(products, first, end)[:, : len(hidden)].T.contiguous()
            item_filter.mask(scores, first)
            running.take(scores, first)
        return running.find_top_k()

    def sums(self, products: Tensor, first: int, end: int) -> Tensor:
        """(m · codebook, N), a number per piece → (end − first, N): what the pieces of each item add up to."""
        return F.embedding_bag(self._codes(first, end).int() + self._starts, products, mode="sum")

    def _codes(self, first: int, end: int) -> Tensor:
        if self._copy is not None:
            return self._copy[first:end]
        kept = self._embedding.kept[first:end]
        return packing.unpack(kept) if self._embedding.is_packed else kept

    def products(self, hidden: Tensor) -> Tensor:
        """(m · codebook, B): each history's product with each piece; a row of fewer than eight takes longer to add."""
        embedding = self._embedding
        flat = hidden.reshape(-1, embedding.num_subspaces, embedding.dim // embedding.num_subspaces)
        pieces = embedding.pieces.weight.float().unflatten(0, (embedding.num_subspaces, embedding.codebook_size))
        products = torch.einsum("mcd,nmd->mcn", pieces, flat).flatten(0, 1)
        return F.pad(products, (0, max(0, LANES - len(flat)))).contiguous()
