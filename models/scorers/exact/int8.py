"""Scans the catalogue in int8, and scores in float32 what can be among the k best. Exact: nothing else can be.

Each group of neighbouring items has an upper bound (int8_table.py). The groups with the highest bounds
are scored in float32; the k-th best score found is then a threshold that a group must reach to matter, and the groups
that do are scored too. A history for which too many groups matter goes to another exact scorer.
"""

from typing import Self

import torch
from torch import Tensor

from models.embeddings.codes import CodesEmbedding
from models.heads.tied import TiedHead
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.blocked import WIDTH, BlockedScorer
from models.scorers.exact.codes import CodesScorer
from models.scorers.exact.groups import best_of_groups, group_scores
from models.scorers.exact.int8_table import GROUP, Int8Table, multiplies_exactly
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors, item_vectors

SPARE = 2  # groups scored at once beyond k
MOST = 128  # groups that may matter beyond twice the first ones


class Int8Scorer(Scorer):
    name = "int8"
    width = WIDTH

    def __init__(self, vectors: ItemVectors, otherwise: Scorer) -> None:
        self._vectors = vectors
        self._otherwise = otherwise
        self.table = Int8Table(vectors)
        self.nbytes = self.table.nbytes

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        vectors = item_vectors(model)
        if vectors is None or not multiplies_exactly(vectors.device):
            return None
        if isinstance(model.head, TiedHead) and isinstance(model.embedding, CodesEmbedding):
            return cls(vectors, CodesScorer(model.embedding, copy=False))
        return cls(vectors, BlockedScorer.for_model(model) or PlainScorer.for_model(model))

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int:
        vectors = item_vectors(model)
        return 0 if vectors is None else Int8Table.bytes_of(vectors)

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        first = k + SPARE
        most = min(self.table.groups, 2 * first + MOST)
        if k * GROUP > self._vectors.num_items:  # every group would be scored
            return self._otherwise.find_top_k(hidden, k, item_filter)
        query = self._vectors.query(hidden.float())
        bounds, groups = self.table.bounds(query, item_filter).topk(most)
        scores = query.new_full((len(query), most, GROUP), -torch.inf)
        self._score(scores, query, groups, bounds.new_ones(bounds.shape, dtype=torch.bool)[:, :first], item_filter)
        threshold = scores[:, :first].flatten(1).topk(k).values[:, -1:]
        matter = (bounds >= threshold) & (bounds > -torch.inf)  # bounds fall, so these stand first
        is_settled = ~matter[:, -1] if most < self.table.groups else matter.new_ones(len(query))
        matter &= is_settled[:, None]
        used = max(first, int(matter.sum(-1).amax()))
        matter[:, :first] = False  # done
        self._score(scores, query, groups, matter, item_filter)
        found = best_of_groups(scores[:, :used], groups[:, :used], k)
        if not is_settled.all():
            rows = (~is_settled).nonzero().squeeze(-1)
            exact = self._otherwise.find_top_k(hidden[rows], k, item_filter.of(rows.tolist()))
            found.indices[rows], found.values[rows] = exact
        return found

    def _score(self, scores: Tensor, query: Tensor, groups: Tensor, wanted: Tensor, item_filter: ItemFilter) -> None:
        """Fill lines of `scores` (B, most, GROUP) where `wanted` (B, ≤ most) says so."""
        rows, places = wanted.nonzero(as_tuple=True)
        if not len(rows):
            return
        scores[rows, places] = group_scores(self._vectors, query, rows, groups[rows, places], GROUP, item_filter)
