"""Exact search of the adaptive head: tails of its tree that cannot hold one of the best items are skipped.

Asks the head for as many extra items as are excluded, then drops the excluded ones. A history whose mask allows few
items goes to `plain`, because the mask may filter most of the head's answer.
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
from models.scorers.order import select_top_k

MASKED_CANDIDATES = 64
"""Candidates beyond 2 k where a mask allows most of the items."""


class TreeScorer(Scorer):
    """Searches the tree of an adaptive head."""

    name = "tree"

    def __init__(self, head: AdaptiveHead, fallback: Scorer) -> None:
        self._head = head
        self._fallback = fallback
        self.width = head.tree.num_items + 1

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        return cls(model.head, PlainScorer.for_model(model)) if isinstance(model.head, AdaptiveHead) else None

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:
        return 0 if isinstance(model.head, AdaptiveHead) else None

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        count = k + item_filter.max_excluded + 1
        if item_filter.masked_rows:
            count += k + MASKED_CANDIDATES
        if item_filter.find_sparse_rows() or 2 * count > item_filter.num_items:
            return self._fallback.find_top_k(hidden, k, item_filter)
        candidates = self._head.find_top_k(hidden, count)
        rows = torch.arange(len(hidden), device=hidden.device).repeat_interleave(count)
        scores = candidates.log_probabilities.float().reshape(-1, 1).clone()
        item_filter.mask_blocks(scores, rows, candidates.indices.flatten())
        values, columns = select_top_k(scores.view(-1, count), k)
        indices = candidates.indices.gather(-1, columns).masked_fill(values == -torch.inf, PADDING)
        # The head does not define which of several ties comes last, so the k-th value must exceed the last one.
        unsettled = (values[:, -1] <= candidates.log_probabilities[:, -1]).nonzero().squeeze(-1)
        if len(unsettled):
            exact = self._fallback.find_top_k(hidden[unsettled], k, item_filter.select_rows(unsettled.tolist()))
            indices[unsettled], values[unsettled] = exact
        return TopK(indices, values)
