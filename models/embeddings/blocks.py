"""Embedding in blocks of decreasing rank: popular items have the full width, rare items a low-rank factorization.

CpRec (arXiv 2004.13139), section on block-wise adaptive decomposition of the input embedding. Item indices are sorted
by popularity, so a block is a range of indices.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.batch import SequenceBatch
from models.embeddings.base import ItemEmbedding
from models.layers.item_blocks import compute_block_ends, compute_block_ranks, compute_block_sizes


class BlockEmbedding(ItemEmbedding):
    """Block 1: E^1 (k_1, dim). Block j ≥ 2: E^j (k_j − k_{j−1}, d_j) times P^j (d_j, dim).

    Parameters: k_1·dim + Σ_{j≥2} ((k_j − k_{j−1})·d_j + d_j·dim). Padding is in no block and has no weights.

    `cuts` are the ends k_1 … k_{n−1} of all blocks but the last, `factor` divides the rank from block to block;
    models/layers/item_blocks.py has both rules and the defaults.
    """

    def __init__(self, num_items: int, dim: int, *, cuts: Sequence[int] | None = None, factor: int = 4) -> None:
        super().__init__()
        self.num_items, self.dim = num_items, dim
        self.ends = compute_block_ends(num_items, cuts)
        first, *ranks = compute_block_ranks(dim, len(self.ends), factor)
        sizes = compute_block_sizes(self.ends)
        self.vectors = nn.ModuleList(nn.Embedding(*shape) for shape in zip(sizes, (first, *ranks), strict=True))
        # With this deviation of P^j the product E^j P^j has the scale of E^1 for every rank, so that no block dominates
        # at the start.
        self.projections = nn.ParameterList(nn.Parameter(torch.randn(rank, dim) * rank**-0.5) for rank in ranks)

    def forward(self, batch: SequenceBatch) -> Tensor:
        return self._look_up(batch.items.flatten()).view(*batch.items.shape, self.dim)

    def table(self, rows: Tensor | None = None) -> Tensor:
        if rows is not None:
            return self._look_up(rows)
        first, *low_rank = self._get_weights()
        padding = first.new_zeros(1, self.dim)
        products = (low @ projection for low, projection in zip(low_rank, self.projections, strict=True))
        return torch.cat((padding, first, *products))

    def scores(self, hidden: Tensor) -> Tensor:
        """(hidden · P^jᵀ) · E^jᵀ per block: dim·d_j + d_j·(k_j − k_{j−1}) multiplications instead of dim per item."""
        first, *low_rank = self._get_weights()
        blocks = [F.linear(hidden, first)]
        for low, projection in zip(low_rank, self.projections, strict=True):
            blocks.append(F.linear(F.linear(hidden, projection), low))
        return torch.cat((blocks[0].new_zeros(*hidden.shape[:-1], 1), *blocks), dim=-1)

    def _get_weights(self) -> list[Tensor]:
        """E^1 … E^n."""
        return [block.get_parameter("weight") for block in self.vectors]

    def _look_up(self, items: Tensor) -> Tensor:
        """(R,) → (R, dim): every block looks up and projects only its own items; padding stays zero."""
        indices, vectors = [], []
        start = 0
        for j, (end, weight) in enumerate(zip(self.ends, self._get_weights(), strict=True)):
            index = ((items > start) & (items <= end)).nonzero().squeeze(-1)
            block_vectors = F.embedding(items[index] - start - 1, weight)
            vectors.append(block_vectors @ self.projections[j - 1] if j else block_vectors)
            indices.append(index)
            start = end
        joined = torch.cat(vectors)
        return joined.new_zeros(len(items), self.dim).index_copy(0, torch.cat(indices), joined)
