"""Causal self-attention on torch's fused kernel: dense, or with a fixed short-term mask."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.block import gather_positions
from models.layers.positional import RotaryPositions
from models.layers.sparse_attention import build_short_term_mask


class CausalSelfAttention(nn.Module):
    """Every position attends to itself and all positions before it, or with `window` to its short-term mask.

    There is no dropout on attention weights, because fused kernels are faster without it.
    """

    def __init__(self, dim: int, heads: int, rotary: RotaryPositions | None, window: int | None = None) -> None:
        super().__init__()
        assert dim % heads == 0
        self.heads = heads
        self.rotary = rotary
        self.window = window
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, dim) → (B, T, dim), or (B, P, dim) if only the positions `at` (B, P) are computed."""
        key_positions = torch.arange(x.shape[1], device=x.device)
        if at is None and self.window is None:
            return self._mix(x, x, None, None, None)
        positions = key_positions if at is None else at
        if self.window is None:
            mask = key_positions <= positions[..., None]
        else:
            mask = build_short_term_mask(positions, x.shape[1], self.window)
        return self._mix(x if at is None else gather_positions(x, at), x, at, None, mask)

    def attend_to(self, queries: Tensor, at: Tensor, x: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        """(B, P, dim) for `queries` at the positions `at` (B, P), from `x` (B, S, dim) at `positions` (B, S) only.

        `visible` (B, P, S) must equal the mask of these positions.
        """
        return self._mix(queries, x, at, positions, visible)

    def _mix(
        self, queries: Tensor, x: Tensor, at: Tensor | None, positions: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Attend with queries from `queries`, keys and values from `x`; no mask means causal, with queries from `x`."""
        width = x.shape[-1]
        if queries is x:
            query, key, value = self._split_heads(F.linear(x, self.qkv.weight)).chunk(3, dim=1)
        else:
            query = self._split_heads(F.linear(queries, self.qkv.weight[:width]))
            key, value = self._split_heads(F.linear(x, self.qkv.weight[width:])).chunk(2, dim=1)
        if self.rotary is not None:
            query, key = self.rotary(query, at), self.rotary(key, positions)
        if mask is not None and mask.ndim == 3:
            mask = mask[:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def _split_heads(self, x: Tensor) -> Tensor:
        """(B, T, n · heads · d) → (B, n · heads, T, d)"""
        split: Tensor = x.unflatten(-1, (-1, self.out.in_features // self.heads)).transpose(1, 2)
        return split
