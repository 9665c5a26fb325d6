"""Largest score in every group of items by one Triton kernel, for full tables and product-quantization codes.

Masks only padding; callers apply filters. Triton comes with torch for CUDA and is imported on first use; with
TRITON_INTERPRET=1 in the environment it runs on a CPU, for tests.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from models.embeddings.base import ItemEmbedding
from models.embeddings.codes import CodesEmbedding
from models.embeddings.full import FullEmbedding

ITEMS = 128
"""Items of one program: 32 KB with 64 float32 each."""
FEW, MANY = 16, 32
"""Queries of one program. With 64 the compiler ran out of registers; 16 is the minimum of `tl.dot`."""
WARPS = {FEW: 4, MANY: 8}
MIN_FEATURES = 16


def has_triton() -> bool:
    return find_spec("triton") is not None


def supports_embedding(embedding: ItemEmbedding) -> bool:
    return isinstance(embedding, FullEmbedding | CodesEmbedding)


class GroupMaxima:
    """Launches the kernel for one embedding."""

    def __init__(self, embedding: ItemEmbedding, group: int) -> None:
        """Raise ValueError for an unsupported embedding; `group` must divide `ITEMS`."""
        from models.triton.maxima_kernel import group_maxima_kernel

        self._kernel: Any = group_maxima_kernel
        self._end = embedding.num_items + 1
        self._group = group
        self.groups = -(-self._end // group)
        self._sizes = {
            "WIDTH": embedding.dim,
            "FEATURES": max(MIN_FEATURES, 1 << (embedding.dim - 1).bit_length()),
            "ITEMS": ITEMS,
            "GROUP": group,
        }
        if isinstance(embedding, CodesEmbedding):
            self._table, self._codebooks = embedding.kept, embedding.pieces.weight.detach()
            self._sizes |= {
                "CENTROID_WIDTH": embedding.dim // embedding.num_subspaces,
                "CODEBOOK_SIZE": embedding.codebook_size,
                "IS_PACKED": embedding.is_packed,
            }
        elif isinstance(embedding, FullEmbedding):
            self._table = self._codebooks = embedding.table().detach()
            self._sizes |= {"CENTROID_WIDTH": 0, "CODEBOOK_SIZE": 0, "IS_PACKED": False}
        else:
            raise ValueError(f"the Triton kernel does not support {type(embedding).__name__}")

    def __call__(self, query: Tensor) -> Tensor:
        """(B, dim) float32 → (B, groups) float32, a transposed view; −inf for a group that is only padding."""
        rows = len(query)
        maxima = torch.empty(self.groups, rows, device=query.device)
        queries = FEW if rows <= FEW else MANY
        programs = -(-self._end // ITEMS) * -(-rows // queries)
        arguments = (query.contiguous(), self._table, self._codebooks, maxima, rows, self._end)
        self._kernel[(programs,)](*arguments, QUERIES=queries, num_warps=WARPS[queries], **self._sizes)
        return maxima.T
