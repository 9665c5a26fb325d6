"""One row of weights and one bias per item, apart from the embedding: LSAN's output layer as it is written.

LSAN (CIKM 2021), section 3.3.2: ŷ = softmax(W_o Ĥ + b_o). It is as large as a full item table, whatever the embedding
saves.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.embeddings.base import ItemEmbedding
from models.heads.base import Negatives, ScoringHead
from models.layers.candidate_cross_entropy import candidate_cross_entropy


class DenseHead(ScoringHead):
    def __init__(self, num_items: int, dim: int) -> None:
        super().__init__()
        self.output = nn.Linear(dim, num_items)  # W_o (num_items, dim) and b_o; padding has no row

    def scores(self, hidden: Tensor, embedding: ItemEmbedding) -> Tensor:  # noqa: ARG002
        return F.pad(self.output(hidden), (1, 0))

    def cross_entropy(
        self,
        hidden: Tensor,
        targets: Tensor,
        embedding: ItemEmbedding,  # noqa: ARG002
        negatives: Negatives | None,
    ) -> Tensor:
        # A column of ones makes the bias a weight like the others, so that it learns from the same chunks.
        hidden = torch.cat((hidden, hidden.new_ones(len(hidden), 1)), dim=-1)
        rows = torch.cat((self.output.weight, self.output.bias[:, None]), dim=-1)
        if negatives is None:
            return candidate_cross_entropy(hidden, rows, rows[targets - 1], collisions=targets - 1)
        return candidate_cross_entropy(
            hidden,
            rows[negatives.items - 1],
            rows[targets - 1],
            collisions=targets,
            ids=negatives.items,
            bias=-negatives.log_expected,
        )
