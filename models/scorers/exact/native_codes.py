"""Product codes scanned by native code, in the bytes in which they lie: a running top k, nothing kept beside them."""

from typing import Self

import torch
from torch import Tensor

from models.embeddings.codes import CodesEmbedding
from models.heads.tied import TiedHead
from models.native.codes_scan import CodesScan
from models.native.library import Library, library
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.native_blocks import products_of
from models.scorers.filter import ItemFilter


class NativeCodesScorer(Scorer):
    name = "native codes"

    def __init__(self, embedding: CodesEmbedding, native: Library) -> None:
        self._embedding = embedding
        self._scan = CodesScan(
            native,
            embedding.kept.numpy(),
            embedding.num_subspaces,
            embedding.codebook_size,
            are_packed=embedding.is_packed,
        )

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        """None also where the native library was not built."""
        embedding, native = model.embedding, library()
        if native is None or not isinstance(embedding, CodesEmbedding) or not isinstance(model.head, TiedHead):
            return None
        return cls(embedding, native) if embedding.kept.device.type == "cpu" else None

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        items, scores = self._scan.find_top_k(
            products_of(self._embedding, hidden), k, excluded=item_filter.excluded, allow_masks=item_filter.allow_masks
        )
        return TopK(torch.from_numpy(items), torch.from_numpy(scores))
