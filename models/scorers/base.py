"""The contract of a scorer: hidden vectors in, the best eligible items out, by whatever way is fastest here.

A scorer belongs to one model and reads its weights; what it keeps besides is made once, when it is built, and goes
stale if the weights change. An exact one answers what `plain` answers, to the rounding of float32.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Self

from torch import Tensor

from models.recommender import SequentialRecommender
from models.scorers.filter import ItemFilter


class TopK(NamedTuple):
    """`indices` (B, k) with 0 where no item_filter item is left, `values` (B, k) float32 falling, −inf there."""

    indices: Tensor
    values: Tensor


IndexInfo = dict[str, float | str]
"""What is written of an index into a manifest, and shown to people: `kind`, `recall@10`, and figures of the kind."""


class Scorer(ABC):
    name: ClassVar[str]
    is_exact: ClassVar[bool] = True
    nbytes = 0
    """What it keeps in memory beside the model's weights."""
    recall = 1.0
    """Share of the exact best items that it finds, as measured when it was built."""
    width = 0
    """Scores per history that it holds at once."""

    @classmethod
    @abstractmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        """None where this way of scoring cannot give the model's scores, or not on this device."""

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int:  # noqa: ARG003
        """Bytes that it would keep for this model, told without building it."""
        return 0

    @abstractmethod
    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        """The `k` best eligible items of each row of (B, dim), equal scores in catalogue order; 1 ≤ k ≤ num_items."""

    def describe(self) -> dict[str, str | bool | int | float]:
        return {"name": self.name, "exact": self.is_exact, "bytes": self.nbytes}
