"""The adaptive head's own way: tails of the tree that cannot hold one of the best stay shut. Exact.

It asks for as many items more as are denied, and drops those that are. A history with a mask of what is allowed goes to
`plain`, as most of what the tree would answer may be forbidden.
"""

from typing import Self

import torch
from torch import Tensor

from models.batch import PADDING
from models.heads.adaptive import AdaptiveHead
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from models.scorers.order import top_in_order


class TreeScorer(Scorer):
    name = "tree"

    def __init__(self, head: AdaptiveHead, otherwise: Scorer) -> None:
        self._head = head
        self._otherwise = otherwise
        self.width = head.tree.num_items + 1

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        return cls(model.head, PlainScorer.for_model(model)) if isinstance(model.head, AdaptiveHead) else None

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        count = k + item_filter.max_excluded + 1
        if item_filter.masked_rows or 2 * count > item_filter.num_items:
            return self._otherwise.find_top_k(hidden, k, item_filter)
        found = self._head.find_top_k(hidden, count)
        rows = torch.arange(len(hidden), device=hidden.device).repeat_interleave(count)
        scores = found.log_probabilities.float().reshape(-1, 1).clone()
        item_filter.mask_blocks(scores, rows, found.indices.flatten())
        values, columns = top_in_order(scores.view(-1, count), k)
        best = TopK(found.indices.gather(-1, columns).masked_fill(values == -torch.inf, PADDING), values)
        # Which of several equals stands last in the tree's list is open, so the k-th must be better than the last.
        unsettled = (values[:, -1] <= found.log_probabilities[:, -1]).nonzero().squeeze(-1)
        if len(unsettled):
            exact = self._otherwise.find_top_k(hidden[unsettled], k, item_filter.of(unsettled.tolist()))
            best.indices[unsettled], best.values[unsettled] = exact
        return best
