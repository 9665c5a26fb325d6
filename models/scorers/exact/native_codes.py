"""Scans product-quantization codes in native code, in the bytes of the table: a running top k and no extra memory."""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
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
        lookup_tables = build_lookup_tables(self._embedding, hidden)
        items, scores = self._scanner.find_top_k(
            lookup_tables, k, excluded=item_filter.excluded, allow_masks=item_filter.allow_masks
        )
        return TopK(torch.from_numpy(items), torch.from_numpy(scores))


def build_lookup_tables(embedding: CodesEmbedding, hidden: Tensor) -> NDArray[np.float32]:
    """(B, dim) → (B, m · codebook size): product of each query with each centroid.

    In numpy, which uses one thread for a product this small; torch uses all of its threads, is slower and takes four
    times the CPU time.
    """
    flat = hidden.float().unflatten(1, (embedding.num_subspaces, -1)).transpose(0, 1).numpy()  # (m, B, dim / m)
    sizes = (embedding.num_subspaces, embedding.codebook_size)
    codebooks = embedding.pieces.weight.detach().float().unflatten(0, sizes)
    products = np.matmul(flat, codebooks.transpose(1, 2).numpy())  # (m, B, codebook size)
    return np.ascontiguousarray(products.transpose(1, 0, 2)).reshape(len(hidden), -1)
