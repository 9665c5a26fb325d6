"""Heads whose scores are inner products, viewed as a table: score(h, i) = query(h) · row(i).

The tied head multiplies by the item vectors of its embedding, compressed or not; the dense head by its own rows, with
the bias as one more weight against a query entry of 1. Adaptive and popularity heads are not inner products.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.embeddings.full import FullEmbedding
from models.heads.dense import DenseHead
from models.heads.tied import TiedHead
from models.recommender import SequentialRecommender


class ItemVectors:
    """Rows and queries whose inner products are a model's scores."""

    def __init__(self, model: SequentialRecommender) -> None:
        """Raise ValueError for a head whose scores are not inner products."""
        if not isinstance(model.head, DenseHead | TiedHead):
            raise ValueError(f"scores of {type(model.head).__name__} are not inner products")
        self._embedding = model.embedding
        self._head = model.head
        self.num_items = model.embedding.num_items
        self.width = model.embedding.dim + isinstance(model.head, DenseHead)
        self.device = next(model.parameters()).device

    @property
    def is_stored(self) -> bool:
        """Whether rows are in memory uncompressed, so that a range of them can be read without decoding."""
        return isinstance(self._head, DenseHead) or isinstance(self._embedding, FullEmbedding)

    def to_query(self, hidden: Tensor) -> Tensor:
        """(B, dim) → (B, width)"""
        return F.pad(hidden, (0, 1), value=1.0) if isinstance(self._head, DenseHead) else hidden

    def get_rows(self, items: Tensor) -> Tensor:
        """(R,) items → (R, width) float32; the row of the padding item is undefined."""
        if not isinstance(self._head, DenseHead):
            return self._embedding.table(items).float()
        positions = (items - 1).clamp_min(0)
        output = self._head.output
        return torch.cat((output.weight[positions], output.bias[positions, None]), dim=-1).float()

    def compute_scores(self, hidden: Tensor, first: int, end: int) -> Tensor:
        """(B, dim) → (B, end − first) for the items from `first`; requires `is_stored`."""
        if not isinstance(self._head, DenseHead):
            return F.linear(hidden, self._embedding.table()[first:end]).float()
        output, start = self._head.output, max(first - 1, 0)
        scores = F.linear(hidden, output.weight[start : end - 1], output.bias[start : end - 1]).float()
        return F.pad(scores, (1, 0)) if first == 0 else scores


def get_item_vectors(model: SequentialRecommender) -> ItemVectors | None:
    """Return None for a head whose scores are not inner products."""
    return ItemVectors(model) if isinstance(model.head, DenseHead | TiedHead) else None
