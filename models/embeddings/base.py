"""Interface of item embeddings: catalogue indices to vectors, compressed or not.

Index 0 is padding and its vector is zero. `forward` may use the context of an item in its sequence; `table` does not.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from models.batch import History, SequenceBatch
from models.catalogue.catalogue import Catalogue

Neighbours = tuple[Tensor, Tensor]
"""Catalogue indices (K,) of trained items and their weights (K,), each above 0."""


class ItemEmbedding(nn.Module, ABC):
    """(num_items + 1) vectors of width `dim`, in catalogue order."""

    num_items: int
    dim: int
    starts_from_full_table = False
    """Whether training starts with a full table, which `approximate` then compresses."""
    reads_times = False
    """Whether `forward` reads the times of a batch; batches are built without them otherwise."""

    @classmethod
    def complete_options(cls, catalogue: Catalogue, options: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG003
        """Add the options that decide the shapes of weights and depend on the data; explicit options stay."""
        return options

    def fit(self, catalogue: Catalogue, histories: Sequence[History]) -> None:
        """Set the buffers that are computed from the data and not learned; called once, before training."""

    def approximate(self, vectors: Tensor, catalogue: Catalogue) -> None:
        """Approximate trained vectors (num_items + 1, dim) as closely as the form allows; row 0 is padding."""
        raise NotImplementedError(f"{type(self).__name__} does not start from trained vectors")

    @property
    def is_refinable(self) -> bool:
        """Whether `refine` improves an approximation."""
        return False

    def refine(self, vectors: Tensor, catalogue: Catalogue, moments: Tensor) -> None:
        """Improve the approximation of `vectors` for hidden vectors with these second moments (dim, dim)."""
        raise NotImplementedError(f"{type(self).__name__} has no refinement")

    def merge(self) -> "ItemEmbedding":
        """Return an embedding with the same vectors, in the form that evaluations and the second stage read."""
        return self

    def compute_new_item_rows(self, neighbours: Sequence[Neighbours]) -> dict[str, Tensor]:
        """Compute, per name in the state dict, the rows (n, …) to append for n new items with these neighbours."""
        raise NotImplementedError(f"{type(self).__name__} does not support new items")

    def reset_special(self) -> None:
        """Initialize weights that need another start than the common one; called after the common initialization."""

    @abstractmethod
    def forward(self, batch: SequenceBatch) -> Tensor:
        """(B, T) items → (B, T, dim). Never materializes the table."""

    @abstractmethod
    def table(self, rows: Tensor | None = None) -> Tensor:
        """The vectors of `rows` (R,) → (R, dim); without rows, of the whole catalogue including padding."""

    @abstractmethod
    def scores(self, hidden: Tensor) -> Tensor:
        """(…, dim) → (…, num_items + 1): dot products with all rows, computed in the cheapest way the form allows."""
