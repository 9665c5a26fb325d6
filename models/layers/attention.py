"""Dense causal self-attention on torch's fused kernel."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.positional import RotaryPositions


class CausalSelfAttention(nn.Module):
    """Every position looks at itself and at all before it. No dropout on weights: fused kernels are faster without."""

    def __init__(self, dim: int, heads: int, rotary: RotaryPositions | None) -> None:
        super().__init__()
        assert dim % heads == 0
        self.heads = heads
        self.rotary = rotary
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, dim) → (B, T, dim), or (B, 1, dim) for the positions `at` (B,) alone."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if at is not None:
            query = query[torch.arange(len(at), device=at.device), :, at][:, :, None]
        if self.rotary is not None:
            query, key = self.rotary(query, at), self.rotary(key)
        if at is None:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            past = torch.arange(x.shape[1], device=x.device) <= at[:, None, None, None]
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=past)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out
