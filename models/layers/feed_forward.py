"""The position-wise half of a transformer block."""

import torch.nn.functional as F
from torch import Tensor, nn


class FeedForward(nn.Module):
    """dim → hidden → dim with a GELU between, every position on its own."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) → (..., dim)"""
        result: Tensor = self.network(x)
        return result


class GatedFeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202): half of the hidden features, through SiLU, weigh the other half."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.wide = nn.Linear(dim, 2 * hidden)
        self.dropout = nn.Dropout(dropout)
        self.narrow = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) → (..., dim)"""
        gate, value = self.wide(x).chunk(2, dim=-1)
        result: Tensor = self.narrow(self.dropout(F.silu(gate) * value))
        return result
