"""Dense causal self-attention on torch's fused kernel."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.positional import RotaryPositions


class CausalSelfAttention(nn.Module):
    """Every position looks at itself and at all before it. No dropout on weights: fused kernels are faster without."""

    def __init__(self, dim: int, heads: int, rotary: RotaryPositions | None) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} does not split into {heads} heads")
        self.heads = heads
        self.rotary = rotary
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim) → (B, T, dim)"""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.rotary is not None:
            query, key = self.rotary(query), self.rotary(key)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out
