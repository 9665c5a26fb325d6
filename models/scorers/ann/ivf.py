"""The approximate one: candidates from inverted lists, scored exactly. For catalogues of a million items and more.

A history with a mask, or one that denies nearly all that its lists hold, goes to an exact scorer, and k eligible items
come back as from any other.
"""

from typing import Self

import torch
from torch import Tensor

from models.batch import PADDING
from models.recommender import SequentialRecommender
from models.scorers.ann.ivf_index import IvfIndex
from models.scorers.base import Scorer, TopK
from models.scorers.exact.blocked import BlockedScorer
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from models.scorers.order import top_in_order
from models.scorers.vectors import ItemVectors, item_vectors

SPARE = 30  # candidates beyond k and what is denied, for what a byte per number loses
AHEAD, DEEP = 64, 1024
"""Candidates for what is denied: of a long history few items are among the best, and most are asked for only then."""


class IvfScorer(Scorer):
    name = "ivf"
    is_exact = False

    def __init__(self, vectors: ItemVectors, index: IvfIndex, otherwise: Scorer) -> None:
        self._vectors = vectors
        self._index = index
        self._otherwise = otherwise
        self.recall = index.recall
        # A byte per number, and the item's index; in a mapped file, where all workers share them.
        self.nbytes = vectors.num_items * (index.index.code_size + 8)

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:  # noqa: ARG003
        """None: it needs an index, which takes queries to build."""
        return None

    @classmethod
    def of(cls, model: SequentialRecommender, index: IvfIndex, otherwise: Scorer | None = None) -> Self | None:
        vectors = item_vectors(model)
        if vectors is None or vectors.device.type != "cpu":
            return None
        return cls(vectors, index, otherwise or BlockedScorer.for_model(model) or PlainScorer.for_model(model))

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        found = TopK(torch.full((len(hidden), k), PADDING, dtype=torch.int64), torch.full((len(hidden), k), -torch.inf))
        query = self._vectors.query(hidden.float()).contiguous()
        masked = item_filter.masked_rows
        left = [row for row in range(len(hidden)) if row not in masked]
        for ahead in (AHEAD, DEEP):
            left = self._answer(found, query, item_filter, left, ahead)
        if rows := masked + left:
            found.indices[rows], found.values[rows] = self._otherwise.find_top_k(hidden[rows], k, item_filter.of(rows))
        return found

    def _answer(self, found: TopK, query: Tensor, item_filter: ItemFilter, rows: list[int], ahead: int) -> list[int]:
        """Fill in those of the rows for which `ahead` candidates beyond k are enough; the others.

        All of the lists' items that score higher than the last candidate are candidates, but for what a byte per number
        loses. So what is left after the denied are gone is right if enough is left, however many are denied.
        """
        k, some = found.indices.shape[1], item_filter.of(rows)
        count = k + SPARE + min(ahead, some.max_excluded)
        if not rows or 2 * count > self._vectors.num_items:
            return rows
        asked = query[rows]
        items = self._index.candidates(asked, count).sort(dim=-1).values  # in catalogue order, for equal scores
        vectors = self._vectors.rows(items.flatten()).view(len(rows), count, -1)
        scores = torch.bmm(vectors, asked[:, :, None]).reshape(-1, 1)
        some.mask_blocks(scores, torch.arange(len(rows)).repeat_interleave(count), items.flatten())
        scores = scores.view(-1, count)
        values, columns = top_in_order(scores, k)
        enough = k if some.max_excluded <= ahead else k + SPARE
        is_settled = (scores > -torch.inf).sum(-1) >= enough
        at = torch.tensor(rows)[is_settled]
        found.indices[at], found.values[at] = items.gather(-1, columns)[is_settled], values[is_settled]
        return [row for row, settled in zip(rows, is_settled.tolist(), strict=True) if not settled]

    def describe(self) -> dict[str, str | bool | int | float]:
        return super().describe() | self._index.to_dict()
