"""Heads whose scores are inner products, seen as a table: score(h, i) = query(h) · row(i).

The tied head is one by the item vectors of its embedding, compressed or not; the dense head by its own rows, with the
bias as one more weight against a query of 1. The adaptive head and popularity are none.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.embeddings.full import FullEmbedding
from models.heads.dense import DenseHead
from models.heads.tied import TiedHead
from models.recommender import SequentialRecommender


class ItemVectors:
    def __init__(self, model: SequentialRecommender) -> None:
        """ValueError for a head whose scores are no inner products."""
        if not isinstance(model.head, DenseHead | TiedHead):
            raise ValueError(f"scores of {type(model.head).__name__} are no inner products")
        self._embedding = model.embedding
        self._head = model.head
        self.num_items = model.embedding.num_items
        self.width = model.embedding.dim + isinstance(model.head, DenseHead)
        self.device = next(model.parameters()).device

    @property
    def is_stored(self) -> bool:
        """Whether the rows lie in memory as they are, so that a stretch of them costs nothing to read."""
        return isinstance(self._head, DenseHead) or isinstance(self._embedding, FullEmbedding)

    def query(self, hidden: Tensor) -> Tensor:
        """(B, dim) → (B, width)"""
        return F.pad(hidden, (0, 1), value=1.0) if isinstance(self._head, DenseHead) else hidden

    def rows(self, items: Tensor) -> Tensor:
        """(R,) items → (R, width) float32; what stands for padding means nothing."""
        if not isinstance(self._head, DenseHead):
            return self._embedding.table(items).float()
        at = (items - 1).clamp_min(0)
        output = self._head.output
        return torch.cat((output.weight[at], output.bias[at, None]), dim=-1).float()

    def scores(self, hidden: Tensor, first: int, end: int) -> Tensor:
        """(B, dim) → (B, end − first) for the items from `first` on; a table must be stored."""
        if not isinstance(self._head, DenseHead):
            return F.linear(hidden, self._embedding.table()[first:end]).float()
        output, start = self._head.output, max(first - 1, 0)
        found = F.linear(hidden, output.weight[start : end - 1], output.bias[start : end - 1]).float()
        return F.pad(found, (1, 0)) if first == 0 else found


def item_vectors(model: SequentialRecommender) -> ItemVectors | None:
    return ItemVectors(model) if isinstance(model.head, DenseHead | TiedHead) else None
