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
from models.scorers.base import Scorer, TopK, split_rows
from models.scorers.exact.codes import get_tied_codes
from models.scorers.exact.native_codes import NativeCodesScorer
from models.scorers.filter import ItemFilter

PACK_ITEMS = 1 << 16  # items packed into blocks at a time, a multiple of BLOCK_ITEMS
FEW_ROWS = 4
SPARSE_SHARES = (1 / 64, 1 / 256)
"""A mask that allows a smaller share of the items is scanned item by item: only the codes of allowed items are read.

For up to `FEW_ROWS` histories, and for more, which share one read of the blocks. At 1,000,000 items and a mask of 1 %,
one history takes 0.8 ms instead of 1.9, four take as long either way.
"""


class NativeBlocksScorer(Scorer):
    """Scans blocks of 64 items."""

    name = "native blocks"

    def __init__(
        self, embedding: CodesEmbedding, scanner: BlockScanner, sparse_scan: NativeCodesScorer, extra_bytes: int
    ) -> None:
        """`sparse_scan` is for masks that allow few items."""
        self._embedding = embedding
        self._scanner = scanner
        self._sparse_scan = sparse_scan
        self.nbytes = extra_bytes

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        """Return None for other models and devices, and where the native library is not built."""
        embedding, library = get_scannable_embedding(model), load_library()
        if embedding is None or library is None or embedding.kept.device.type != "cpu":
            return None
        sparse_scan = NativeCodesScorer(embedding, library)
        sizes = embedding.num_items, embedding.codebook_size
        if embedding.is_packed:
            blocks = _pack_catalogue(embedding)
            return cls(embedding, BlockScanner(library, blocks, *sizes), sparse_scan, blocks.nbytes)
        codebooks = embedding.pieces.weight.detach().float().unflatten(0, (embedding.num_subspaces, -1)).numpy()
        groups, group_of_code = group_centroids(codebooks)
        blocks = _pack_catalogue(embedding, group_of_code)
        scanner = BlockScanner(library, blocks, *sizes, codes=embedding.kept.numpy(), groups=groups)
        return cls(embedding, scanner, sparse_scan, blocks.nbytes + groups.nbytes)

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:
        embedding = get_scannable_embedding(model)
        if embedding is None or load_library() is None:
            return None
        group_bytes = 0 if embedding.is_packed else MAX_CODES * embedding.num_subspaces
        return (embedding.num_items // BLOCK_ITEMS + 1) * embedding.num_subspaces * ROW_BYTES + group_bytes

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        sparse_rows = item_filter.find_sparse_rows(SPARSE_SHARES[len(hidden) > FEW_ROWS])
        return split_rows(sparse_rows, (self._sparse_scan.find_top_k, self._scan_blocks), hidden, k, item_filter)

    def prepare(self, hidden: Tensor, item_filter: ItemFilter) -> tuple[BlockScanner, NDArray[np.float32]] | None:
        """Return the scanner of all items and the lookup tables of a batch; None if other scans are faster for it."""
        if item_filter.find_sparse_rows(SPARSE_SHARES[len(hidden) > FEW_ROWS]):
            return None
        return self._scanner, self._embedding.pieces.compute_products(hidden)

    def _scan_blocks(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        lookup_tables = self._embedding.pieces.compute_products(hidden)
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
