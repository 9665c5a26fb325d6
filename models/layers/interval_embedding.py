"""Vector for the time since the previous event, added to the item's vector: it separates sessions from new visits."""

from torch import Tensor, nn

from models.times import NUM_INTERVALS, compute_intervals


class IntervalEmbedding(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(NUM_INTERVALS, dim)

    def forward(self, times: Tensor) -> Tensor:
        """(B, T) times → (B, T, dim)"""
        vectors: Tensor = self.vectors(compute_intervals(times))
        return vectors
