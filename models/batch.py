"""Histories of different lengths as one rectangle of tensors, padded on the right.

Right padding lets a causal encoder work without masks: a valid position only looks left, where there is no padding, and
block boundaries count from the first item, independent of the other histories in the batch.
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
"""Seconds since 1970 of the events of a history, parallel to it; models/times.py defines which are real."""


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """A batch of histories, padded on the right.

    `items` (B, T) are catalogue indices, 0 after the end; `lengths` (B,), each from 1 to T. `times` (B, T) are seconds
    since 1970, `NO_TIME` where unknown and after the end; None if the model does not read times or none is known.
    `request_times` (B,) are the times at which the next item is asked for, of the last target in training; `NO_TIME`
    where unknown, None if all are.
    """

    items: Tensor
    lengths: Tensor
    times: Tensor | None = None
    request_times: Tensor | None = None

    def to(self, device: torch.device) -> "SequenceBatch":
        parts = (self.items, self.lengths, self.times, self.request_times)
        return SequenceBatch(*(None if part is None else part.to(device, non_blocking=True) for part in parts))  # type: ignore[arg-type]

    @property
    def valid(self) -> Tensor:
        """Mask of real items, (B, T) bool."""
        return torch.arange(self.items.shape[1], device=self.items.device) < self.lengths[:, None]


def pad_right(
    histories: Sequence[History],
    max_len: int,
    times: Sequence[Times] | None = None,
    request_times: Times | None = None,
) -> SequenceBatch:
    """Batch the newest `max_len` items of every history, with their times; ValueError for an empty history."""
    lengths = np.array([min(len(history), max_len) for history in histories], dtype=np.int64)
    if not len(lengths) or lengths.min() < 1:
        raise ValueError("a batch needs at least one history, and every history at least one item")
    items = np.full((len(histories), int(lengths.max())), PADDING, dtype=np.int64)
    for row, history, length in zip(items, histories, lengths, strict=True):
        row[:length] = history[len(history) - length :]
    requests = None if request_times is None else torch.from_numpy(request_times.astype(np.int64))
    batch = SequenceBatch(torch.from_numpy(items), torch.from_numpy(lengths), request_times=requests)
    return batch if times is None else replace(batch, times=_pad_times(times, histories, batch))


def _pad_times(times: Sequence[Times], histories: Sequence[History], batch: SequenceBatch) -> Tensor:
    if [len(row) for row in times] != [len(history) for history in histories]:
        raise ValueError("every history needs one time per event")
    padded = np.full(batch.items.shape, NO_TIME, dtype=np.int64)
    for row, history_times, length in zip(padded, times, batch.lengths.tolist(), strict=True):
        row[:length] = history_times[len(history_times) - length :]
    return torch.from_numpy(padded)
