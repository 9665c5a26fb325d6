"""Position-wise feed-forward networks of transformer blocks."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dropout import Dropout


class FeedForward(nn.Module):
    """dim → hidden → dim with a GELU in between, for each position separately."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) → (..., dim)"""
        result: Tensor = self.network(x)
        return result


class GatedFeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202): half of the hidden features, through SiLU, gate the other half."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.wide = nn.Linear(dim, 2 * hidden)
        self.dropout = Dropout(dropout)
        self.narrow = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) → (..., dim)"""
        gate, value = self.wide(x).chunk(2, dim=-1)
        result: Tensor = self.narrow(self.dropout(F.silu(gate) * value))
        return result
