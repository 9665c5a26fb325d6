"""Exact scoring on a GPU without the (B, items) scores: each group's largest, then all items of the k best groups.

All in torch. A CPU has caches that hold a stretch of scores (blocked.py); a GPU wants large pieces and
few launches. It stands for heads whose scores are inner products, compressed tables among them.
"""

from typing import Self

from torch import Tensor

from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.chunked_maxima import CELLS, GROUP, ChunkedMaxima
from models.scorers.exact.groups import best_by_maxima
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors, item_vectors


class GroupedScorer(Scorer):
    name = "grouped"

    def __init__(self, vectors: ItemVectors, cells: int = CELLS) -> None:
        """`cells`: scores that are held at once."""
        self._vectors = vectors
        self._maxima = ChunkedMaxima(vectors, cells)
        self.width = self._maxima.groups

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        vectors = item_vectors(model)
        return cls(vectors) if vectors is not None and vectors.device.type == "cuda" else None

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        hidden = hidden.float()
        query = self._vectors.query(hidden)
        return best_by_maxima(self._vectors, query, self._maxima(hidden, item_filter), GROUP, k, item_filter)
