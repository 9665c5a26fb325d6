"""The contract of the first room: item ids to vectors, compressed or not.

Index 0 is padding and its vector is zero. `forward` may use the sequence around an item; `table` is free of context.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from models.batch import History, SequenceBatch
from models.catalogue.catalogue import Catalogue

Neighbours = tuple[Tensor, Tensor]
"""Catalogue indices (K,) of known items and their weights (K,), each above 0."""


class ItemEmbedding(nn.Module, ABC):
    """(num_items + 1) vectors of width `dim`, in catalogue order."""

    num_items: int
    dim: int
    starts_from_full_table = False
    """Whether training begins with a full table, whose vectors `approximate` then takes over."""
    reads_times = False
    """Whether `forward` looks at the times of a batch; who makes batches spares them otherwise."""

    @classmethod
    def complete_options(cls, catalogue: Catalogue, options: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG003
        """Complete the options by what gives weights their shapes and only the data tells. What is given stays."""
        return options

    def fit(self, catalogue: Catalogue, histories: Sequence[History]) -> None:
        """Set the buffers that are computed from the data and not learned; called once, before training."""

    def approximate(self, vectors: Tensor, catalogue: Catalogue) -> None:
        """Become as near to trained vectors (num_items + 1, dim) as the form allows; row 0 is padding."""
        raise NotImplementedError(f"{type(self).__name__} does not start from trained vectors")

    def compute_new_item_rows(self, neighbours: Sequence[Neighbours]) -> dict[str, Tensor]:
        """By name of the state, the rows (n, …) to put under it for n new items that stand near known ones."""
        raise NotImplementedError(f"{type(self).__name__} cannot place new items")

    def reset_special(self) -> None:
        """Set weights that must not start like the others; called after the common initialisation."""

    @abstractmethod
    def forward(self, batch: SequenceBatch) -> Tensor:
        """(B, T) items → (B, T, dim). Never materialises the table."""

    @abstractmethod
    def table(self, rows: Tensor | None = None) -> Tensor:
        """The vectors of `rows` (R,) → (R, dim); of the whole catalogue, padding included, without rows."""

    @abstractmethod
    def scores(self, hidden: Tensor) -> Tensor:
        """(…, dim) → (…, num_items + 1): the product with every row, by the cheapest way the form allows."""
