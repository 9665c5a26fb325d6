"""One vector per item: nothing is compressed. The yardstick for everything that is."""

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
        """Mean vectors of the neighbours, by weight."""
        table = self.vectors.weight.detach()
        return {"vectors.weight": torch.stack([(w[:, None] * table[near]).sum(0) / w.sum() for near, w in neighbours])}

    def table(self, rows: Tensor | None = None) -> Tensor:
        return self.vectors.weight if rows is None else F.embedding(rows, self.vectors.weight)

    def scores(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.vectors.weight)
