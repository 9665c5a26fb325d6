"""One vector per item, uncompressed: the baseline for compressed embeddings."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.batch import PADDING, SequenceBatch
from models.embeddings.base import ItemEmbedding, Neighbours


class FullEmbedding(ItemEmbedding):
    def __init__(self, num_items: int, dim: int) -> None:
        super().__init__()
        self.num_items, self.dim = num_items, dim
        self.vectors = nn.Embedding(num_items + 1, dim, padding_idx=PADDING)

    def forward(self, batch: SequenceBatch) -> Tensor:
        vectors: Tensor = self.vectors(batch.items)
        return vectors

    def compute_new_item_rows(self, neighbours: Sequence[Neighbours]) -> dict[str, Tensor]:
        """Compute the weighted mean vectors of the neighbours."""
        table = self.vectors.weight.detach()
        means = [(weights[:, None] * table[items]).sum(0) / weights.sum() for items, weights in neighbours]
        return {"vectors.weight": torch.stack(means)}

    def table(self, rows: Tensor | None = None) -> Tensor:
        return self.vectors.weight if rows is None else F.embedding(rows, self.vectors.weight)

    def scores(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.vectors.weight)
