"""The contract of the first room: item ids to vectors, compressed or not.

Index 0 is padding and its vector is zero. `forward` may use the sequence around an item; `table` is free of context.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from models.batch import SequenceBatch


class ItemEmbedding(nn.Module, ABC):
    """(num_items + 1) vectors of width `dim`, in catalogue order."""

    num_items: int
    dim: int

    @abstractmethod
    def forward(self, batch: SequenceBatch) -> Tensor:
        """(B, T) items → (B, T, dim). Never materialises the table."""

    @abstractmethod
    def table(self, rows: Tensor | None = None) -> Tensor:
        """The vectors of `rows` (R,) → (R, dim); of the whole catalogue, padding included, without rows."""

    @abstractmethod
    def scores(self, hidden: Tensor) -> Tensor:
        """(…, dim) → (…, num_items + 1): the product with every row, by the cheapest way the form allows."""
