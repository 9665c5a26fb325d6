"""Vector for the period of an event's time, added to the item's vector: popularity drifts from month to month."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.batch import Times
from models.times import FIRST_SECOND, LAST_SECOND, is_real

NO_PERIOD = 0


class PeriodEmbedding(nn.Module):
    """`boundaries` (num_periods − 1,) are the first seconds of all periods but the first, which has no beginning.

    Period n counts from 1; the last has no end, so that a later time belongs to it.
    """

    boundaries: Tensor

    def __init__(self, num_periods: int, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(num_periods + 1, dim)
        self.register_buffer("boundaries", torch.zeros(num_periods - 1, dtype=torch.int64))

    def fit(self, times: Sequence[Times]) -> None:
        """Set the boundaries to quantiles of the real times, so that every period has as many events."""
        seconds = np.concatenate(times).astype(np.int64)
        real = seconds[(seconds >= FIRST_SECOND) & (seconds <= LAST_SECOND)]
        if len(real):
            shares = np.arange(1, len(self.boundaries) + 1) / (len(self.boundaries) + 1)
            quantiles = np.quantile(real, shares, method="higher")
            self.boundaries.copy_(torch.from_numpy(quantiles))

    def check_buffers(self) -> None:
        """ValueError for boundaries that decrease."""
        if bool((self.boundaries.diff() < 0).any()):
            raise ValueError("boundaries must not decrease")

    def find_periods(self, times: Tensor) -> Tensor:
        """(…) times → (…) periods; NO_PERIOD without a real time."""
        return (torch.bucketize(times, self.boundaries, right=True) + 1).masked_fill(~is_real(times), NO_PERIOD)

    def forward(self, times: Tensor) -> Tensor:
        """(B, T) times → (B, T, dim)"""
        vectors: Tensor = self.vectors(self.find_periods(times))
        return vectors
