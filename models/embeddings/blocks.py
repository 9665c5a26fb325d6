"""Embedding in blocks of decreasing rank: popular items have the full width, rare items a low-rank factorization.

CpRec (arXiv 2004.13139), section on block-wise adaptive decomposition of the input embedding. Item indices are sorted
by popularity, so a block is a range of indices. The paper learns the factors from random values. More accurate, and
much smaller at the same accuracy (models/LOG.md), are the best factors of a trained full table, rounded to 8 bits.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.batch import SequenceBatch
from models.catalogue.catalogue import Catalogue
from models.embeddings.base import ItemEmbedding
from models.layers.item_blocks import compute_block_ends, compute_block_ranks, compute_block_sizes
from models.layers.rounded_rows import RoundedRows


class BlockEmbedding(ItemEmbedding):
    """Block 1: E^1 (k_1, dim). Block j ≥ 2: E^j (k_j − k_{j−1}, d_j) times P^j (d_j, dim).

    Parameters: k_1·dim + Σ_{j≥2} ((k_j − k_{j−1})·d_j + d_j·dim). Padding is in no block and has no weights.

    `cuts` are the ends k_1 … k_{n−1} of all blocks but the last, or shares of the catalogue below 1; `factor` divides
    the rank from block to block, and `ranks` of all blocks but the first, or shares of dim below 1, replace that rule;
    models/layers/item_blocks.py has the rules and the defaults.

    `factors` are "random", learned from random values in float32, or "trained": the E^j are computed from a full table
    that is trained first, rounded to 8 bits and fixed. The P^j start as computed and are learned.
    """

    def __init__(
        self,
        num_items: int,
        dim: int,
        *,
        cuts: Sequence[float] | None = None,
        factor: int = 4,
        ranks: Sequence[float] | None = None,
        factors: Literal["random", "trained"] = "random",
    ) -> None:
        super().__init__()
        if factors not in ("random", "trained"):
            raise ValueError(f"factors must be 'random' or 'trained' (got {factors!r})")
        self.num_items, self.dim = num_items, dim
        self.starts_from_full_table = factors == "trained"
        self.ends = compute_block_ends(num_items, cuts)
        first, *low_ranks = compute_block_ranks(dim, len(self.ends), factor, ranks)
        sizes = compute_block_sizes(self.ends)
        kind = RoundedRows if self.starts_from_full_table else nn.Embedding
        self.vectors = nn.ModuleList(kind(*shape) for shape in zip(sizes, (first, *low_ranks), strict=True))
        # With this deviation of P^j the product E^j P^j has the scale of E^1 for every rank, so that no block dominates
        # at the start.
        self.projections = nn.ParameterList(nn.Parameter(torch.randn(rank, dim) * rank**-0.5) for rank in low_ranks)

    def reset_special(self) -> None:
        """Give fixed rows the length of trained ones, about 1; training could not scale them."""
        for block in self.vectors:
            if isinstance(block, RoundedRows):
                block.round(torch.randn(block.shape) * self.dim**-0.5)

    def approximate(self, vectors: Tensor, catalogue: Catalogue) -> None:
        """Round the vectors of block 1; give every other block the factors with the least weighted squared error."""
        # Popular items get smaller errors; the square root leaves rare items some weight.
        weights = torch.from_numpy(catalogue.counts).to(vectors).clamp_min(1).sqrt()
        start = 0
        for j, (end, rows) in enumerate(zip(self.ends, self.vectors, strict=True)):
            assert isinstance(rows, RoundedRows)
            block = vectors[1 + start : 1 + end].detach()
            if j:
                axes = find_main_axes(block, weights[start:end], rows.shape[1])
                with torch.no_grad():
                    self.projections[j - 1].copy_(axes)
                block = block @ axes.T
            rows.round(block)
            start = end

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
        return [
            block.restore() if isinstance(block, RoundedRows) else block.get_parameter("weight")
            for block in self.vectors
        ]

    def _look_up(self, items: Tensor) -> Tensor:
        """(R,) → (R, dim): every block looks up and projects only its own items; padding stays zero."""
        indices, vectors = [], []
        start = 0
        for j, (end, block) in enumerate(zip(self.ends, self.vectors, strict=True)):
            index = ((items > start) & (items <= end)).nonzero().squeeze(-1)
            block_vectors: Tensor = block(items[index] - start - 1)
            vectors.append(block_vectors @ self.projections[j - 1] if j else block_vectors)
            indices.append(index)
            start = end
        joined = torch.cat(vectors)
        return joined.new_zeros(len(items), self.dim).index_copy(0, torch.cat(indices), joined)


def find_main_axes(vectors: Tensor, weights: Tensor, rank: int) -> Tensor:
    """Find orthonormal axes (rank, D) that vectors (n, D), weighted by `weights` (n,), project on with least error.

    The axes are the first right singular vectors of √w · v, here eigenvectors of the (D, D) matrix Σ w · v vᵀ.
    """
    moments = vectors.double().T @ (vectors * weights[:, None]).double()
    axes: Tensor = torch.linalg.eigh(moments).eigenvectors.flip(1)[:, :rank].T
    return axes.to(vectors)
