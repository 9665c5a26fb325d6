"""Scans product-quantization codes in native code, 64 items at a time.

Exact, and the fastest scorer on processors with byte permutation. Keeps a second copy of the codes in blocks, six bits
each; with an IVF-PQ index the blocks are in the index file and no copy is needed.
"""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.native.block_scanner import (
    BLOCK_ITEMS,
    MAX_CODES,
    MAX_SUBSPACES,
    ROW_BYTES,
    BlockScanner,
    group_centroids,
    pack_blocks,
)
from models.native.library import load_library
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.codes import get_tied_codes
from models.scorers.filter import ItemFilter

PACK_ITEMS = 1 << 16  # items packed into blocks at a time, a multiple of BLOCK_ITEMS


class NativeBlocksScorer(Scorer):
    """Scans blocks of 64 items."""

    name = "native blocks"

    def __init__(self, embedding: CodesEmbedding, scanner: BlockScanner, extra_bytes: int) -> None:
        self._embedding = embedding
        self._scanner = scanner
        self.nbytes = extra_bytes

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        """Return None for other models and devices, and where the native library is not built."""
        embedding, library = get_scannable_embedding(model), load_library()
        if embedding is None or library is None or embedding.kept.device.type != "cpu":
            return None
        sizes = embedding.num_items, embedding.codebook_size
        if embedding.is_packed:
            blocks = _pack_catalogue(embedding)
            return cls(embedding, BlockScanner(library, blocks, *sizes), blocks.nbytes)
        codebooks = embedding.pieces.weight.detach().float().unflatten(0, (embedding.num_subspaces, -1)).numpy()
        groups, group_of_code = group_centroids(codebooks)
        blocks = _pack_catalogue(embedding, group_of_code)
        scanner = BlockScanner(library, blocks, *sizes, codes=embedding.kept.numpy(), groups=groups)
        return cls(embedding, scanner, blocks.nbytes + groups.nbytes)

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:
        embedding = get_scannable_embedding(model)
        if embedding is None or load_library() is None:
            return None
        group_bytes = 0 if embedding.is_packed else MAX_CODES * embedding.num_subspaces
        return (embedding.num_items // BLOCK_ITEMS + 1) * embedding.num_subspaces * ROW_BYTES + group_bytes

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        lookup_tables = build_lookup_tables(self._embedding, hidden)
        items, scores = self._scanner.find_top_k(
            lookup_tables, k, excluded=item_filter.excluded, allow_masks=item_filter.allow_masks
        )
        return TopK(torch.from_numpy(items), torch.from_numpy(scores))


def get_scannable_embedding(model: SequentialRecommender) -> CodesEmbedding | None:
    """Return the embedding if its codes, or groups of them, fit blocks and the head scores by inner products."""
    embedding = get_tied_codes(model)
    if embedding is None or embedding.num_subspaces % 2 or embedding.num_subspaces > MAX_SUBSPACES:
        return None
    return embedding


def get_six_bit_embedding(model: SequentialRecommender) -> CodesEmbedding | None:
    """Return the embedding if its codes themselves fit blocks and the head scores by inner products."""
    embedding = get_scannable_embedding(model)
    return embedding if embedding is not None and embedding.is_packed else None


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


def _pack_catalogue(embedding: CodesEmbedding, group_of_code: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Pack the codes of all items, or their groups, in catalogue order, padding first."""
    blocks = []
    for part in embedding.kept.split(PACK_ITEMS):
        if group_of_code is None:
            codes = packing.unpack(part).to(torch.uint8).numpy()
        else:
            codes = group_of_code[np.arange(embedding.num_subspaces), part.numpy()]
        blocks.append(pack_blocks(codes))
    return np.concatenate(blocks)
