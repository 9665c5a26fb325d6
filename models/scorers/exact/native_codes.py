"""Scans product-quantization codes in native code, in the bytes of the table: a running top k and no extra memory."""

from typing import Self

import torch
from torch import Tensor

from models.embeddings.codes import CodesEmbedding
from models.native.code_scanner import CodeScanner
from models.native.library import Library, load_library
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.codes import get_tied_codes
from models.scorers.filter import ItemFilter


class NativeCodesScorer(Scorer):
    """Scans the codes of a CPU model one item at a time."""

    name = "native codes"

    def __init__(self, embedding: CodesEmbedding, library: Library) -> None:
        self._embedding = embedding
        codes, sizes = embedding.kept.numpy(), (embedding.num_subspaces, embedding.codebook_size)
        self._scanner = CodeScanner(library, codes, *sizes, are_packed=embedding.is_packed)

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        """Return None for other models and devices, and where the native library is not built."""
        embedding, library = get_tied_codes(model), load_library()
        if embedding is None or library is None or embedding.kept.device.type != "cpu":
            return None
        return cls(embedding, library)

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:
        return None if get_tied_codes(model) is None or load_library() is None else 0

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        lookup_tables = self._embedding.pieces.compute_products(hidden)
        items, scores = self._scanner.find_top_k(
            lookup_tables, k, excluded=item_filter.excluded, allow_masks=item_filter.allow_masks
        )
        return TopK(torch.from_numpy(items), torch.from_numpy(scores))
