"""A softmax in two levels with weights of its own: most positions never touch the rare part of the catalogue.

CpRec (arXiv 2004.13139), section on block-wise adaptive decomposition of the softmax layer; the equations are in
models/layers/tree_softmax.py. Scores are log-probabilities. Not tied: a softmax that is factorised like the input loses
accuracy, says the paper.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.embeddings.base import ItemEmbedding
from models.heads.base import Negatives, ScoringHead
from models.layers.tree_softmax import TreeSoftmax
from models.layers.tree_top import BestItems, find_best_items


class AdaptiveHead(ScoringHead):
    """`cuts` and `factor` mean what they mean to the `blocks` embedding, but may differ from it."""

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
    ) -> Tensor:
        """Exact over the catalogue, whether there are negatives or not: the tree is what makes that affordable."""
        return self.tree.cross_entropy(hidden, targets)

    def find_top_k(self, hidden: Tensor, count: int) -> BestItems:
        """The `count` most probable items of each row of (B, dim), opening no tail that cannot hold one of them."""
        return find_best_items(self.tree, hidden, count)
