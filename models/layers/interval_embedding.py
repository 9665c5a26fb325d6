"""Vector for the time since the previous event, added to the item's vector: it separates sessions from new visits."""

import torch
from torch import Tensor, nn

from models.times import NO_INTERVAL, NUM_INTERVALS, compute_intervals

HIDDEN_SHARE = 0.1
"""Share of histories whose intervals are hidden in training, so that histories without times work as well."""


class IntervalEmbedding(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(NUM_INTERVALS, dim)

    def forward(self, items: Tensor, times: Tensor | None) -> Tensor:
        """(B, T) items and their times, or None without times → (B, T, dim)."""
        numbers = torch.full_like(items, NO_INTERVAL) if times is None else compute_intervals(times)
        if self.training:
            numbers = numbers * (torch.rand(len(numbers), 1, device=numbers.device) >= HIDDEN_SHARE)
        vectors: Tensor = self.vectors(numbers)
        return vectors
