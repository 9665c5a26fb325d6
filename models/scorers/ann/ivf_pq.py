"""The approximate one for six-bit codes: blocks of the lists nearest to a query are scanned, and the others are not.

What is found has its true score, whatever is denied. A history with a mask, or whose lists hold too few items, goes to
an exact scorer, and k eligible items come back as from any other.
"""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.embeddings.codes import CodesEmbedding
from models.native.blocks_scan import BlocksScan
from models.native.library import library
from models.recommender import SequentialRecommender
from models.scorers.ann.ivf_pq_index import IvfPqIndex
from models.scorers.base import Scorer, TopK
from models.scorers.exact.native_blocks import NativeBlocksScorer, products_of, six_bit_codes
from models.scorers.filter import ItemFilter

REACH = 0.25
"""How much of a list's radius counts for it: a fifth fewer items are read for the same recall than by centres alone."""


class IvfPqScorer(Scorer):
    name = "native lists"
    is_exact = False

    def __init__(self, embedding: CodesEmbedding, index: IvfPqIndex, scan: BlocksScan, otherwise: Scorer) -> None:
        """`scan` reads the blocks of the index."""
        self._embedding, self._index, self._scan, self._otherwise = embedding, index, scan, otherwise
        self._centres, self._radii = index.centres.T.contiguous(), index.radii * REACH
        self.recall = index.recall
        self.nbytes = self._centres.nbytes + self._radii.nbytes
        self.width = len(index.radii)

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:  # noqa: ARG003
        """None: it needs an index, which takes queries to build."""
        return None

    @classmethod
    def of(cls, model: SequentialRecommender, index: IvfPqIndex, otherwise: Scorer) -> Self | None:
        embedding, scan = six_bit_codes(model), scan_of(model, index)
        return None if embedding is None or scan is None else cls(embedding, index, scan, otherwise)

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        query = hidden.float()
        found = self._scan.find_top_k(
            products_of(self._embedding, query), k, lists=self.lists(query), excluded=item_filter.excluded
        )
        indices, values = map(torch.from_numpy, found)
        masked = item_filter.masked_rows
        too_few = (indices[:, -1] == 0).nonzero().squeeze(-1).tolist()
        if rows := sorted({*masked, *too_few}):
            best = self._otherwise.find_top_k(hidden[rows], k, item_filter.of(rows))
            indices[rows], values[rows] = best.indices, best.values
        return TopK(indices, values)

    def lists(self, query: Tensor) -> NDArray[np.int32]:
        """(B, dim) → (B, probes) the lists to be read, the best first."""
        near = torch.addmm(query.norm(dim=1, keepdim=True) * self._radii, query, self._centres)
        found: NDArray[np.int32] = near.topk(self._index.nprobe).indices.int().contiguous().numpy()
        return found

    def describe(self) -> dict[str, str | bool | int | float]:
        return super().describe() | self._index.to_dict()


def exact_of(model: SequentialRecommender, index: IvfPqIndex) -> Scorer | None:
    """The exact scan of the same file: all of its lists, and no memory of its own."""
    embedding, scan = six_bit_codes(model), scan_of(model, index)
    return None if embedding is None or scan is None else NativeBlocksScorer(embedding, scan, 0)


def scan_of(model: SequentialRecommender, index: IvfPqIndex) -> BlocksScan | None:
    """None without the native library, or for a model that has no such codes."""
    embedding, native = six_bit_codes(model), library()
    if embedding is None or native is None:
        return None
    blocks, items, starts = index.blocks.numpy(), index.items.numpy(), index.starts.numpy()
    return BlocksScan(native, blocks, embedding.num_items, embedding.codebook_size, items=items, starts=starts)
