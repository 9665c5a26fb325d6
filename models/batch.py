"""Histories of different lengths as one rectangle of tensors, padded on the right.

Right padding is what lets a causal encoder go without masks: a valid position only looks left, where there is never
padding, and block borders count from the first item whoever shares the batch. It knows no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PADDING = 0
NO_TIME = 0

History = NDArray[np.int64]
"""Catalogue indices of one user, oldest first: (length,)."""

Times = NDArray[np.uint32]
"""Seconds since 1970 of the events of a history, parallel to it; what counts as none is said in models/times.py."""


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """`items` (B, T) catalogue indices with 0 behind the end; `lengths` (B,), each from 1 to T.

    `times` (B, T): seconds since 1970 of each event; `NO_TIME` where nobody knows and behind the end.
    None: no time is known, or the model does not read them.
    """

    items: Tensor
    lengths: Tensor
    times: Tensor | None = None

    def to(self, device: torch.device) -> "SequenceBatch":
        times = None if self.times is None else self.times.to(device, non_blocking=True)
        return SequenceBatch(
            self.items.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True), times
        )

    @property
    def valid(self) -> Tensor:
        """(B, T) bool: True where there is an item."""
        return torch.arange(self.items.shape[1], device=self.items.device) < self.lengths[:, None]


def pad_right(histories: Sequence[History], max_len: int, times: Sequence[Times] | None = None) -> SequenceBatch:
    """The newest `max_len` items of every history, and their times if given; an empty history is an error."""
    lengths = np.array([min(len(history), max_len) for history in histories], dtype=np.int64)
    if not len(lengths) or lengths.min() < 1:
        raise ValueError("a batch needs histories, and every history at least one item")
    items = np.full((len(histories), int(lengths.max())), PADDING, dtype=np.int64)
    for row, history, length in zip(items, histories, lengths, strict=True):
        row[:length] = history[len(history) - length :]
    batch = SequenceBatch(torch.from_numpy(items), torch.from_numpy(lengths))
    return batch if times is None else replace(batch, times=_padded_times(times, histories, batch))


def _padded_times(times: Sequence[Times], histories: Sequence[History], batch: SequenceBatch) -> Tensor:
    if [len(one) for one in times] != [len(history) for history in histories]:
        raise ValueError("times are one for each event of a history")
    padded = np.full(batch.items.shape, NO_TIME, dtype=np.int64)
    for row, one, length in zip(padded, times, batch.lengths.tolist(), strict=True):
        row[:length] = one[len(one) - length :]
    return torch.from_numpy(padded)
