"""Reference scorer: computes all scores, filters them and takes the top k. Other scorers are tested against it.

Works for every model on every device; holds (B, num_items + 1) scores.
"""

from typing import Self

import torch
from torch import Tensor

from models.batch import PADDING
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.filter import ItemFilter
from models.scorers.order import select_top_k


class PlainScorer(Scorer):
    """Scores the whole catalogue with the model's own head."""

    name = "plain"

    def __init__(self, model: SequentialRecommender) -> None:
        self._model = model
        self.width = model.embedding.num_items + 1

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self:
        return cls(model)

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int:  # noqa: ARG003
        return 0

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        scores = self._model.scores(hidden).float()
        scores = scores.clone() if scores._base is not None or not scores.is_contiguous() else scores
        item_filter.mask(scores)  # before the top k, so that k items are returned if k are eligible
        values, indices = select_top_k(scores, k)
        return TopK(indices.masked_fill(values == -torch.inf, PADDING), values)
