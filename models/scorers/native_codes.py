"""Product codes scanned by native code, in the bytes in which they lie: a running top k, nothing kept beside them."""

from typing import Self

import torch
from torch import Tensor

from models.embeddings.codes import CodesEmbedding
from models.heads.tied import TiedHead
from models.native.codes_scan import CodesScan
from models.native.library import Library, library
from models.recommender import SequentialRecommender
from models.scorers.base import Best, Scorer
from models.scorers.eligible import Eligible


class NativeCodesScorer(Scorer):
    name = "native codes"

    def __init__(self, embedding: CodesEmbedding, native: Library) -> None:
        self._splits = embedding.splits
        self._pieces = embedding.pieces.weight.detach().float().unflatten(0, (embedding.splits, embedding.codebook))
        self._scan = CodesScan(
            native,
            embedding.kept.numpy(),
            embedding.splits,
            embedding.codebook,
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

    def best(self, hidden: Tensor, k: int, eligible: Eligible) -> Best:
        flat = hidden.float().unflatten(1, (self._splits, -1)).permute(1, 2, 0)  # (m, dim / m, B)
        products = torch.bmm(self._pieces, flat).permute(2, 0, 1).flatten(1)  # (B, m · codebook)
        items, scores = self._scan.best(
            products.contiguous().numpy(), k, denied=eligible.denied, allowed=eligible.allowed
        )
        return Best(torch.from_numpy(items), torch.from_numpy(scores))
