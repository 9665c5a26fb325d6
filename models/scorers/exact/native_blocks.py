"""Six-bit product codes scanned by native code, 64 items at a time: exact, and the fastest where a processor permutes
bytes. It keeps the codes once more, in blocks; with an index they lie in its file, and nothing is kept.
"""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.heads.tied import TiedHead
from models.native.blocks_scan import MOST_SPLITS, PLACES, ROW, BlocksScan, in_blocks
from models.native.library import library
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.filter import ItemFilter

CHUNK = 1 << 16  # items that are brought into blocks at once, a multiple of PLACES


class NativeBlocksScorer(Scorer):
    name = "native blocks"

    def __init__(self, embedding: CodesEmbedding, scan: BlocksScan, kept_bytes: int) -> None:
        self._embedding = embedding
        self._scan = scan
        self.nbytes = kept_bytes

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        """None also where the native library was not built."""
        embedding, native = six_bit_codes(model), library()
        if embedding is None or native is None or embedding.kept.device.type != "cpu":
            return None
        blocks = blocks_of(embedding)
        return cls(embedding, BlocksScan(native, blocks, embedding.num_items, embedding.codebook_size), blocks.nbytes)

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int:
        embedding = six_bit_codes(model)
        return 0 if embedding is None else (embedding.num_items // PLACES + 1) * embedding.num_subspaces * ROW

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        products = products_of(self._embedding, hidden)
        return TopK(
            *map(
                torch.from_numpy,
                self._scan.find_top_k(products, k, excluded=item_filter.excluded, allow_masks=item_filter.allow_masks),
            )
        )


def six_bit_codes(model: SequentialRecommender) -> CodesEmbedding | None:
    """The embedding that blocks can hold, under a head that scores by inner products."""
    embedding = model.embedding
    if not isinstance(embedding, CodesEmbedding) or not isinstance(model.head, TiedHead):
        return None
    return embedding if embedding.is_packed and embedding.num_subspaces <= MOST_SPLITS else None


def blocks_of(embedding: CodesEmbedding) -> NDArray[np.uint8]:
    """All items in their order, the padding first."""
    parts = embedding.kept.split(CHUNK)
    return np.concatenate([in_blocks(packing.unpack(part).to(torch.uint8).numpy()) for part in parts])


def products_of(embedding: CodesEmbedding, hidden: Tensor) -> NDArray[np.float32]:
    """(B, dim) → (B, m · codebook): each query by each piece.

    By numpy, which computes so little in one thread; torch takes all it has, and is slower and four times as dear.
    """
    flat = hidden.float().unflatten(1, (embedding.num_subspaces, -1)).transpose(0, 1).numpy()  # (m, B, dim / m)
    pieces = embedding.pieces.weight.detach().float().unflatten(0, (embedding.num_subspaces, embedding.codebook_size))
    products = np.matmul(flat, pieces.transpose(1, 2).numpy())  # (m, B, codebook)
    return np.ascontiguousarray(products.transpose(1, 0, 2)).reshape(len(hidden), -1)
