"""Adaptive softmax in two levels: most positions never touch the rare part of the catalogue.

CpRec (arXiv 2004.13139), section on block-wise adaptive decomposition of the softmax layer; the equations are in
models/layers/tree_softmax.py. Scores are log-probabilities. Its weights are not tied to the embedding: according to the
paper, a softmax that is factorized like the input is less accurate.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.embeddings.base import ItemEmbedding
from models.heads.base import Negatives, ScoringHead
from models.layers.tree_softmax import TreeSoftmax
from models.layers.tree_top import BestItems, find_best_items


class AdaptiveHead(ScoringHead):
    """`cuts` and `factor` are defined as for the `blocks` embedding, but may have other values."""

    def __init__(self, num_items: int, dim: int, *, cuts: Sequence[int] | None = None, factor: int = 4) -> None:
        super().__init__()
        self.tree = TreeSoftmax(num_items, dim, cuts, factor)

    def scores(self, hidden: Tensor, embedding: ItemEmbedding) -> Tensor:  # noqa: ARG002  (not tied)
        """Log-probabilities of all items, exact: the exponentials of a row sum to 1. Column 0 (padding) is −inf."""
        items = self.tree.log_probabilities(hidden)
        return torch.cat((items.new_full((*items.shape[:-1], 1), -torch.inf), items), dim=-1)

    def cross_entropy(
        self,
        hidden: Tensor,
        targets: Tensor,
        embedding: ItemEmbedding,  # noqa: ARG002  (not tied)
        negatives: Negatives | None,  # noqa: ARG002
        weights: Tensor | None = None,
    ) -> Tensor:
        """Compute the exact loss over the catalogue, which the tree makes affordable; negatives are ignored."""
        return self.tree.cross_entropy(hidden, targets, weights=weights)

    def find_top_k(self, hidden: Tensor, count: int) -> BestItems:
        """Find the `count` most probable items per row of (B, dim), skipping blocks that cannot contain one."""
        return find_best_items(self.tree, hidden, count)
