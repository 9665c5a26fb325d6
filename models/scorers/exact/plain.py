"""The reference: scores of the whole catalogue, masks over them, the k largest. Every other scorer is compared with it.

It fits every model and every device, and holds (B, num_items + 1) scores.
"""

from typing import Self

import torch
from torch import Tensor

from models.batch import PADDING
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.filter import ItemFilter
from models.scorers.order import top_in_order


class PlainScorer(Scorer):
    name = "plain"

    def __init__(self, model: SequentialRecommender) -> None:
        self._model = model
        self.width = model.embedding.num_items + 1

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self:
        return cls(model)

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        return best_of(self._model.scores(hidden).float(), k, item_filter)


def best_of(scores: Tensor, k: int, item_filter: ItemFilter) -> TopK:
    """The k best of (B, num_items + 1) scores. Masks first, so that k eligible items come back if there are k."""
    scores = scores.clone() if scores._base is not None or not scores.is_contiguous() else scores
    item_filter.mask(scores)
    values, indices = top_in_order(scores, k)
    return TopK(indices.masked_fill(values == -torch.inf, PADDING), values)
