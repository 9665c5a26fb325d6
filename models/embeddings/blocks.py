"""Item vectors in blocks of falling rank: popular items keep their whole width, rare ones share a small space.

CpRec (arXiv 2004.13139), section on block-wise adaptive decomposition of the input embedding. With item indices sorted
by popularity a block is a range of them, so finding the block of an item is two comparisons.
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
        # With this spread of P^j the product E^j P^j is as large as E^1 whatever the rank, so that at the start no
        # block is louder than another.
        self.projections = nn.ParameterList(nn.Parameter(torch.randn(rank, dim) * rank**-0.5) for rank in ranks)

    def forward(self, batch: SequenceBatch) -> Tensor:
        return self._rows(batch.items.flatten()).view(*batch.items.shape, self.dim)

    def table(self, rows: Tensor | None = None) -> Tensor:
        if rows is not None:
            return self._rows(rows)
        first, *rest = self._weights()
        padding = first.new_zeros(1, self.dim)
        products = (low @ projection for low, projection in zip(rest, self.projections, strict=True))
        return torch.cat((padding, first, *products))

    def scores(self, hidden: Tensor) -> Tensor:
        """Block by block (hidden · P^jᵀ) · E^jᵀ: dim·d_j + d_j·(k_j − k_{j−1}) products instead of dim per item."""
        first, *rest = self._weights()
        blocks = [F.linear(hidden, first)]
        for low, projection in zip(rest, self.projections, strict=True):
            blocks.append(F.linear(F.linear(hidden, projection), low))
        return torch.cat((blocks[0].new_zeros(*hidden.shape[:-1], 1), *blocks), dim=-1)

    def _weights(self) -> list[Tensor]:
        """E^1 … E^n."""
        return [block.get_parameter("weight") for block in self.vectors]

    def _rows(self, items: Tensor) -> Tensor:
        """(R,) → (R, dim): every block looks up and projects its own items only; padding stays at zero."""
        first, *rest = self._weights()
        places, vectors = [], []
        start = 0
        for j, (end, weight) in enumerate(zip(self.ends, (first, *rest), strict=True)):
            place = ((items > start) & (items <= end)).nonzero().squeeze(-1)
            looked_up = F.embedding(items[place] - start - 1, weight)
            vectors.append(looked_up @ self.projections[j - 1] if j else looked_up)
            places.append(place)
            start = end
        together = torch.cat(vectors)
        return together.new_zeros(len(items), self.dim).index_copy(0, torch.cat(places), together)
