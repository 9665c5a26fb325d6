"""The contract of the third room: what comes next, as a score for every item of the catalogue.

The embedding is passed at call time: a head that shares its weights registers no parameter twice.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from models.embeddings.base import ItemEmbedding


@dataclass(frozen=True, slots=True)
class Negatives:
    """`items` (K,) catalogue indices shared by a batch, `log_expected` (K,) log of K · their probability."""

    items: Tensor
    log_expected: Tensor


class ScoringHead(nn.Module, ABC):
    trainable = True

    @abstractmethod
    def scores(self, hidden: Tensor, embedding: ItemEmbedding) -> Tensor:
        """(…, dim) → (…, num_items + 1); column 0 is padding and means nothing."""

    @abstractmethod
    def cross_entropy(
        self, hidden: Tensor, targets: Tensor, embedding: ItemEmbedding, negatives: Negatives | None
    ) -> Tensor:
        """The mean loss of (N, dim) positions with (N,) targets: over the catalogue, or against negatives only."""
