"""LSAN's output layer: one row of weights and one bias per item, separate from the embedding.

LSAN (CIKM 2021), section 3.3.2: ŷ = softmax(W_o Ĥ + b_o). It is as large as a full item table even if the embedding is
compressed.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.batch import PADDING
from models.embeddings.base import ItemEmbedding
from models.heads.base import Negatives, ScoringHead, UniformNegatives
from models.layers.calibrated_binary_cross_entropy import calibrated_binary_cross_entropy
from models.layers.candidate_cross_entropy import candidate_cross_entropy


class DenseHead(ScoringHead):
    def __init__(self, num_items: int, dim: int) -> None:
        super().__init__()
        self.output = nn.Linear(dim, num_items)  # W_o (num_items, dim) and b_o; padding has no row

    def scores(self, hidden: Tensor, embedding: ItemEmbedding) -> Tensor:  # noqa: ARG002
        return F.pad(self.output(hidden), (1, 0))

    def score_items(self, hidden: Tensor, items: Tensor, embedding: ItemEmbedding) -> Tensor:  # noqa: ARG002
        positions = (items - 1).clamp_min(0)
        scores = torch.einsum("bd,bcd->bc", hidden, self.output.weight[positions]) + self.output.bias[positions]
        return scores.masked_fill(items == PADDING, 0.0)

    def cross_entropy(
        self,
        hidden: Tensor,
        targets: Tensor,
        embedding: ItemEmbedding,  # noqa: ARG002
        negatives: Negatives | None,
        weights: Tensor | None = None,
    ) -> Tensor:
        hidden, rows = self._fold_bias(hidden)
        if negatives is None:
            return candidate_cross_entropy(
                hidden, rows, rows[targets - 1], collisions=targets - 1, token_weights=weights
            )
        return candidate_cross_entropy(
            hidden,
            rows[negatives.items - 1],
            rows[targets - 1],
            collisions=negatives.find(targets) if negatives.is_sorted else targets,
            ids=None if negatives.is_sorted else negatives.items,
            bias=-negatives.log_expected,
            token_weights=weights,
        )

    def gbce(
        self,
        hidden: Tensor,
        targets: Tensor,
        embedding: ItemEmbedding,  # noqa: ARG002
        negatives: UniformNegatives,
        weights: Tensor | None = None,
    ) -> Tensor:
        hidden, rows = self._fold_bias(hidden)
        return calibrated_binary_cross_entropy(
            hidden,
            rows[negatives.items - 1],
            rows[targets - 1],
            collisions=targets,
            ids=negatives.items,
            beta=negatives.beta,
            token_weights=weights,
        )

    def _fold_bias(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(N, dim + 1) and (num_items, dim + 1): a column of ones turns the bias into a weight."""
        extended = torch.cat((hidden, hidden.new_ones(len(hidden), 1)), dim=-1)
        return extended, torch.cat((self.output.weight, self.output.bias[:, None]), dim=-1)
