"""Scores every item by its count in training: a baseline, and the service's fallback."""

import torch
from torch import Tensor

from models.embeddings.base import ItemEmbedding
from models.heads.base import Negatives, ScoringHead


class PopularityHead(ScoringHead):
    trainable = False
    scores_are_counts = True
    counts: Tensor

    def __init__(self, num_items: int, dim: int) -> None:
        super().__init__()
        del dim
        self.register_buffer("counts", torch.zeros(num_items + 1))

    def check_buffers(self) -> None:
        """ValueError for a negative count."""
        if float(self.counts.min()) < 0:
            raise ValueError("counts must not be negative")

    def scores(self, hidden: Tensor, embedding: ItemEmbedding) -> Tensor:  # noqa: ARG002
        return self.counts.expand(*hidden.shape[:-1], -1)

    def cross_entropy(
        self,
        hidden: Tensor,
        targets: Tensor,
        embedding: ItemEmbedding,
        negatives: Negatives | None,
        weights: Tensor | None = None,
    ) -> Tensor:
        raise NotImplementedError("the popularity head is fitted by counting, not trained")
