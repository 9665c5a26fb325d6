"""The approximate one: candidates from inverted lists, scored exactly. For catalogues of a million items and more.

A history with a mask, or one that denies more than the lists can be asked for beyond k, goes to an exact scorer; so
does one for which the lists held too few, and k eligible items come back as from any other.
"""

from typing import Self

import torch
from torch import Tensor

from models.batch import PADDING
from models.recommender import SequentialRecommender
from models.scorers.base import Best, Scorer
from models.scorers.blocked import BlockedScorer
from models.scorers.eligible import Eligible
from models.scorers.ivf_index import SPARE, IvfIndex
from models.scorers.order import top_in_order
from models.scorers.plain import PlainScorer
from models.scorers.vectors import ItemVectors, item_vectors

DEEP = 512
"""More denied items than this ask for so many candidates that a scan is as fast."""


class IvfScorer(Scorer):
    name = "ivf"
    is_exact = False

    def __init__(self, vectors: ItemVectors, index: IvfIndex, otherwise: Scorer) -> None:
        self._vectors = vectors
        self._index = index
        self._otherwise = otherwise
        self.nbytes = vectors.num_items * (index.index.code_size + 8)  # a byte per number, and the item's index

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

    def best(self, hidden: Tensor, k: int, eligible: Eligible) -> Best:
        count = k + eligible.most_denied + SPARE
        if eligible.with_mask or eligible.most_denied > DEEP or 2 * count > self._vectors.num_items:
            return self._otherwise.best(hidden, k, eligible)
        query = self._vectors.query(hidden.float()).contiguous()
        items = self._index.candidates(query, count).sort(dim=-1).values  # in catalogue order, for equal scores
        vectors = self._vectors.rows(items.flatten()).view(len(query), count, -1)
        scores = torch.bmm(vectors, query[:, :, None]).reshape(-1, 1)
        rows = torch.arange(len(query)).repeat_interleave(count)
        eligible.mask_blocks(scores, rows, items.flatten())
        values, columns = top_in_order(scores.view(-1, count), k)
        best = Best(items.gather(-1, columns).masked_fill(values == -torch.inf, PADDING), values)
        short = (values[:, -1] == -torch.inf).nonzero().squeeze(-1)
        if len(short):
            exact = self._otherwise.best(hidden[short], k, eligible.of(short.tolist()))
            best.indices[short], best.values[short] = exact
        return best

    def describe(self) -> dict[str, str | bool | int | float]:
        return super().describe() | self._index.told()
