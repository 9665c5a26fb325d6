"""Pre-norm transformer block of LiGR, with a gate on each sublayer before the residual sum.

x ← x + σ(W_a x) ⊙ attention(norm(x)), then x ← x + σ(W_f x) ⊙ feed_forward(norm(x)) (arXiv 2502.03417): each feature of
each position controls how much of the sublayer it adds.
"""

from torch import Tensor, nn

from models.layers.attention import CausalSelfAttention
from models.layers.block import gather_positions
from models.layers.dropout import Dropout


class GatedBlock(nn.Module):
    def __init__(self, dim: int, attention: CausalSelfAttention, feed_forward: nn.Module, dropout: float) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.attention_gate = nn.Linear(dim, dim)
        self.feed_forward_gate = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, dim) → (B, T, dim), or (B, P, dim) if only the positions `at` (B, P) are computed."""
        residual = x if at is None else gather_positions(x, at)
        return self._add_gated(residual, self.attention(self.attention_norm(x), at))

    def attend_to(self, at: Tensor, x: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        """(B, 1, dim) at `at` (B, 1), from `x` (B, S, dim) at `positions` (B, S) only; x[:, 0] is the query."""
        normed = self.attention_norm(x)
        return self._add_gated(x[:, :1], self.attention.attend_to(normed[:, :1], at, normed, positions, visible))

    def _add_gated(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.attention_gate(x).sigmoid() * self.dropout(attended)
        fed = self.feed_forward(self.feed_forward_norm(x))
        out: Tensor = x + self.feed_forward_gate(x).sigmoid() * self.dropout(fed)
        return out
