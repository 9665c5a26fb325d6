"""Interface of scorers: hidden vectors in, the k best items that pass a filter out.

A scorer belongs to one model and reads its weights. Tables that it derives from them are built once, together with the
scorer, and become stale if the weights change. Exact scorers agree with `plain` up to float32 rounding.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from models.recommender import SequentialRecommender
from models.scorers.filter import ItemFilter


class TopK(NamedTuple):
    """`indices` (B, k), 0 past the last eligible item; `values` (B, k) float32, descending, −inf there."""

    indices: Tensor
    values: Tensor


Search = Callable[[Tensor, int, ItemFilter], TopK]
"""`Scorer.find_top_k` of some scorer."""


def split_rows(
    rows: Sequence[int], searches: tuple[Search, Search], hidden: Tensor, k: int, item_filter: ItemFilter
) -> TopK:
    """Search `rows` of (B, dim) by the first search and all others by the second one."""
    if len(rows) in (0, len(hidden)):
        return searches[not rows](hidden, k, item_filter)
    top = TopK(hidden.new_empty((len(hidden), k), dtype=torch.int64), hidden.new_empty((len(hidden), k)).float())
    others = sorted(set(range(len(hidden))).difference(rows))
    for search, part in zip(searches, (rows, others), strict=True):
        top.indices[part], top.values[part] = search(hidden[part], k, item_filter.select_rows(part))
    return top


IndexInfo = dict[str, float | str]
"""Description of an index in the manifest and in API responses: `kind`, `recall@10` and figures of that kind."""


class Scorer(ABC):
    """Finds the top k for hidden vectors of one model."""

    name: ClassVar[str]
    is_exact: ClassVar[bool] = True
    nbytes = 0
    """Memory in addition to the model's weights."""
    recall = 1.0
    """Share of the exact top 10 that it finds, measured when its index was built."""
    width = 0
    """Scores per history that it holds in memory at a time."""

    @classmethod
    @abstractmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        """Build the scorer, or return None if it cannot compute this model's scores on its device."""

    @classmethod
    @abstractmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:
        """Compute `nbytes` from the shape of a model; None if the scorer fits it on no device."""

    @abstractmethod
    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        """Find the `k` best items for each row of (B, dim); ties in catalogue order; 1 ≤ k ≤ num_items."""

    def describe(self) -> dict[str, str | bool | int | float]:
        return {"name": self.name, "exact": self.is_exact, "bytes": self.nbytes}


class ApproximateScorer(Scorer):
    """A scorer that reads an index: it is built from the index, not from the model alone."""

    is_exact = False

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:  # noqa: ARG003
        return None

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:  # noqa: ARG003
        return None
