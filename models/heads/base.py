"""Interface of scoring heads: hidden vectors to a score for every item of the catalogue.

The embedding is passed at call time, so that a head that shares its weights does not register parameters twice.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.embeddings.base import ItemEmbedding


@dataclass(frozen=True, slots=True)
class Negatives:
    """`items` (K,) catalogue indices shared by a batch, `log_expected` (K,) log of K · their sampling probability.

    `is_sorted`: the items rise, without repeats.
    """

    items: Tensor
    log_expected: Tensor
    is_sorted: bool = False

    def find(self, targets: Tensor) -> Tensor:
        """Find the position of each target (N,) in sorted items; −1 where it is not among them."""
        positions = torch.searchsorted(self.items, targets).clamp_max(len(self.items) - 1)
        return torch.where(self.items[positions] == targets, positions, -1)


@dataclass(frozen=True, slots=True)
class UniformNegatives:
    """`items` (K,) as above but sampled uniformly, and `beta`, gBCE's exponent of the positives."""

    items: Tensor
    beta: float


class ScoringHead(nn.Module, ABC):
    trainable = True
    scores_are_counts = False
    """Whether scores are proportional to probabilities; they are logarithms of such numbers otherwise."""

    @abstractmethod
    def scores(self, hidden: Tensor, embedding: ItemEmbedding) -> Tensor:
        """(…, dim) → (…, num_items + 1); column 0 is padding and meaningless."""

    def score_items(self, hidden: Tensor, items: Tensor, embedding: ItemEmbedding) -> Tensor:
        """(B, dim) and (B, C) items → (B, C): their columns of `scores`, which heads may compute more cheaply."""
        return self.scores(hidden, embedding).gather(-1, items)

    @abstractmethod
    def cross_entropy(
        self,
        hidden: Tensor,
        targets: Tensor,
        embedding: ItemEmbedding,
        negatives: Negatives | None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """The mean loss of (N, dim) positions with (N,) targets, over the catalogue or against negatives only.

        (N,) `weights` above 0 weigh the positions in the mean.
        """

    def gbce(
        self,
        hidden: Tensor,  # noqa: ARG002
        targets: Tensor,  # noqa: ARG002
        embedding: ItemEmbedding,  # noqa: ARG002
        negatives: UniformNegatives,  # noqa: ARG002
        weights: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """The mean gBCE (models/layers/calibrated_binary_cross_entropy.py) of the same positions and targets.

        ValueError for heads whose scores are not logits of single items.
        """
        raise ValueError(f"{type(self).__name__} cannot be trained by gBCE; use the softmax loss")
