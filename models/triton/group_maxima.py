"""The largest score in every group of items by one Triton kernel, for full tables and for product codes as they are.

It masks nothing but padding: filters are the caller's. Triton comes with torch for CUDA and is loaded on first use;
with TRITON_INTERPRET=1 in the environment it runs on a CPU, for tests.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from models.embeddings.base import ItemEmbedding
from models.embeddings.codes import CodesEmbedding
from models.embeddings.full import FullEmbedding

ITEMS = 128
"""Of one program: with 64 float32 each, 32 KB."""
FEW, MANY = 16, 32
"""Queries of one program. With 64 the compiler ran out of registers; 16 is the least that `tl.dot` takes."""
WARPS = {FEW: 4, MANY: 8}
LEAST_FEATURES = 16


def has_triton() -> bool:
    return find_spec("triton") is not None


def knows(embedding: ItemEmbedding) -> bool:
    return isinstance(embedding, FullEmbedding | CodesEmbedding)


class GroupMaxima:
    """`group` divides `ITEMS`. ValueError for an embedding that it does not know."""

    def __init__(self, embedding: ItemEmbedding, group: int) -> None:
        from models.triton.maxima_kernel import group_maxima_kernel

        self._kernel: Any = group_maxima_kernel
        self._end = embedding.num_items + 1
        self._group = group
        self.groups = -(-self._end // group)
        self._sizes = {
            "WIDTH": embedding.dim,
            "FEATURES": max(LEAST_FEATURES, 1 << (embedding.dim - 1).bit_length()),
            "ITEMS": ITEMS,
            "GROUP": group,
        }
        if isinstance(embedding, CodesEmbedding):
            self._table, self._pieces = embedding.kept, embedding.pieces.weight.detach()
            piece, codebook, is_packed = (
                embedding.dim // embedding.num_subspaces,
                embedding.codebook_size,
                embedding.is_packed,
            )
            self._sizes |= {"PIECE": piece, "CODEBOOK": codebook, "IS_PACKED": is_packed}
        elif isinstance(embedding, FullEmbedding):
            self._table = self._pieces = embedding.table().detach()
            self._sizes |= {"PIECE": 0, "CODEBOOK": 0, "IS_PACKED": False}
        else:
            raise ValueError(f"the kernel does not know {type(embedding).__name__}")

    def __call__(self, query: Tensor) -> Tensor:
        """(B, dim) float32 → (B, groups) float32, a transposed view; −inf for a group of padding alone."""
        rows = len(query)
        found = torch.empty(self.groups, rows, device=query.device)
        queries = FEW if rows <= FEW else MANY
        programs = -(-self._end // ITEMS) * -(-rows // queries)
        given = (query.contiguous(), self._table, self._pieces, found, rows, self._end)
        self._kernel[(programs,)](*given, QUERIES=queries, num_warps=WARPS[queries], **self._sizes)
        return found.T
