"""Vector for the time of the next event, added to the item's vector: at the last event, it is the time of the request.

A service knows how long ago the last event was and which period it is now; a model that knows it too can tell whether
the user goes on with a visit or returns.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.batch import Times
from models.layers.period_embedding import PeriodEmbedding
from models.times import NO_INTERVAL, NUM_INTERVALS, compute_intervals

MIN_SHARE = 1e-3
"""Least share of a log's intervals that are as long as the longest class; longer ones are rare and count as it."""


class RequestEmbedding(nn.Module):
    """`longest` () is the last trained interval class; longer intervals, in later requests, count as it."""

    longest: Tensor

    def __init__(self, num_periods: int, dim: int) -> None:
        super().__init__()
        self.intervals = nn.Embedding(NUM_INTERVALS, dim)
        self.periods = nn.Embedding(num_periods + 1, dim) if num_periods else None
        self.register_buffer("longest", torch.tensor(NUM_INTERVALS - 1))

    def check_buffers(self) -> None:
        """ValueError for an interval class without a vector."""
        if not 0 <= int(self.longest) < NUM_INTERVALS:
            raise ValueError(f"longest must be from 0 to {NUM_INTERVALS - 1} (got {int(self.longest)})")

    def fit(self, times: Sequence[Times]) -> None:
        """Find the longest class of intervals that is not rare."""
        numbers = compute_intervals(torch.from_numpy(np.concatenate(times).astype(np.int64))[None])[0]
        starts = np.cumsum([0, *map(len, times)])[:-1]
        numbers[starts[starts < len(numbers)]] = NO_INTERVAL  # the event before it is another user's
        counts = numbers.bincount(minlength=NUM_INTERVALS)[1:]
        num_not_shorter = counts.flip(0).cumsum(0).flip(0)
        frequent = torch.nonzero(num_not_shorter > MIN_SHARE * counts.sum())
        if len(frequent):
            self.longest.copy_(1 + frequent.max())

    def forward(self, times: Tensor, next_times: Tensor, periods: PeriodEmbedding | None) -> Tensor:
        """(B, T) times of the events and of the events after them → (B, T, dim)"""
        pairs = torch.stack((times, next_times), dim=-1).flatten(0, 1)
        numbers = compute_intervals(pairs)[:, 1].view_as(times)
        vectors: Tensor = self.intervals(torch.minimum(numbers, self.longest))
        if self.periods is not None and periods is not None:
            vectors = vectors + self.periods(periods.find_periods(next_times))
        return vectors
