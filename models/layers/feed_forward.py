"""The position-wise half of a transformer block."""

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
