"""Histories of different lengths as one rectangle of tensors, padded on the right.

Right padding is what lets a causal encoder go without masks: a valid position only looks left, where there is never
padding, and block borders count from the first item whoever shares the batch. It knows no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PADDING = 0
NO_HOUR = 24

History = NDArray[np.int64]
"""Catalogue indices of one user, oldest first: (length,)."""


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """`items` (B, T) catalogue indices with 0 behind the end; `lengths` (B,), each from 1 to T.

    `hours` (B, T), where they are known: the hour of the day of each event in UTC, 0 to 23; `NO_HOUR` without a time.
    """

    items: Tensor
    lengths: Tensor
    hours: Tensor | None = None

    def to(self, device: torch.device) -> "SequenceBatch":
        hours = None if self.hours is None else self.hours.to(device, non_blocking=True)
        return SequenceBatch(
            self.items.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True), hours
        )

    @property
    def valid(self) -> Tensor:
        """(B, T) bool: True where there is an item."""
        return torch.arange(self.items.shape[1], device=self.items.device) < self.lengths[:, None]


def pad_right(histories: Sequence[History], max_len: int) -> SequenceBatch:
    """The newest `max_len` items of every history; an empty history is an error."""
    lengths = np.array([min(len(history), max_len) for history in histories], dtype=np.int64)
    if not len(lengths) or lengths.min() < 1:
        raise ValueError("a batch needs histories, and every history at least one item")
    items = np.full((len(histories), int(lengths.max())), PADDING, dtype=np.int64)
    for row, history, length in zip(items, histories, lengths, strict=True):
        row[:length] = history[len(history) - length :]
    return SequenceBatch(torch.from_numpy(items), torch.from_numpy(lengths))
