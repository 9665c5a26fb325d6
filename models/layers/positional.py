"""Position encodings: rotary (relative, without parameters) and learned (absolute)."""

import torch
from torch import Tensor, nn

THETA = 10_000.0
"""Base of the angles per position, as published."""


class RotaryPositions(nn.Module):
    """Rotates adjacent pairs of features by an angle that grows with the position (RoPE, arXiv 2104.09864).

    The dot product of two rotated vectors depends only on the distance of their positions. `is_fast` multiplies complex
    numbers, in one pass over memory instead of five and with other rounding.
    """

    is_fast = False

    cos: Tensor
    sin: Tensor

    def __init__(self, head_dim: int, max_len: int) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"rotary positions require an even head dimension (got {head_dim})")
        frequencies = THETA ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
        angles = torch.arange(max_len, dtype=torch.float64)[:, None] * frequencies
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, heads, T, head_dim) → the same shape; row t is rotated by t, or by at[b, t] with `at` (B, T)."""
        if at is None:
            cos, sin = self.cos[: x.shape[-2]], self.sin[: x.shape[-2]]
        else:
            cos, sin = self.cos[at][:, None], self.sin[at][:, None]
        pairs = x.float().unflatten(-1, (-1, 2))
        if self.is_fast:
            rotated = torch.view_as_real(torch.view_as_complex(pairs) * torch.complex(cos, sin))
        else:
            even, odd = pairs.unbind(-1)
            rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
        return rotated.flatten(-2).to(x.dtype)


class LearnedPositions(nn.Module):
    """Adds one learned vector per position, as in SASRec (arXiv 1808.09781)."""

    def __init__(self, dim: int, max_len: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_len, dim))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight[: x.shape[-2]]
