"""Scores by dot products with the embedding's own item vectors, so the output layer has no weights."""

import torch
from torch import Tensor

from models.embeddings.base import ItemEmbedding
from models.heads.base import Negatives, ScoringHead, UniformNegatives
from models.layers.calibrated_binary_cross_entropy import calibrated_binary_cross_entropy
from models.layers.candidate_cross_entropy import candidate_cross_entropy


class TiedHead(ScoringHead):
    def __init__(self, num_items: int, dim: int) -> None:
        super().__init__()
        del num_items, dim  # unused: the common constructor of heads

    def scores(self, hidden: Tensor, embedding: ItemEmbedding) -> Tensor:
        return embedding.scores(hidden)

    def score_items(self, hidden: Tensor, items: Tensor, embedding: ItemEmbedding) -> Tensor:
        vectors = embedding.table(items.flatten()).unflatten(0, items.shape)
        return torch.einsum("bd,bcd->bc", hidden, vectors)

    def cross_entropy(
        self,
        hidden: Tensor,
        targets: Tensor,
        embedding: ItemEmbedding,
        negatives: Negatives | None,
        weights: Tensor | None = None,
    ) -> Tensor:
        if negatives is None:
            table = embedding.table()
            # Padding is not a candidate: without row 0, all indices are lower by one.
            return candidate_cross_entropy(
                hidden, table[1:], table[targets], collisions=targets - 1, token_weights=weights
            )
        # The sum over negatives / (K · probability) is an unbiased estimate of the sum over the catalogue, so the
        # negatives are corrected and the target is not.
        rows = embedding.table(torch.cat((negatives.items, targets)))
        return candidate_cross_entropy(
            hidden,
            rows[: len(negatives.items)],
            rows[len(negatives.items) :],
            collisions=negatives.find(targets) if negatives.is_sorted else targets,
            ids=None if negatives.is_sorted else negatives.items,
            bias=-negatives.log_expected,
            token_weights=weights,
        )

    def gbce(
        self,
        hidden: Tensor,
        targets: Tensor,
        embedding: ItemEmbedding,
        negatives: UniformNegatives,
        weights: Tensor | None = None,
    ) -> Tensor:
        count = len(negatives.items)
        rows = embedding.table(torch.cat((negatives.items, targets)))
        return calibrated_binary_cross_entropy(
            hidden,
            rows[:count],
            rows[count:],
            collisions=targets,
            ids=negatives.items,
            beta=negatives.beta,
            token_weights=weights,
        )
