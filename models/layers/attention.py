"""Causal self-attention on torch's fused kernel: dense, or through a fixed short-term mask."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.gather import gather_positions
from models.layers.positional import RotaryPositions
from models.layers.sparse_attention import build_short_term_mask


class CausalSelfAttention(nn.Module):
    """Every position looks at itself and at all before it, or with `window` at those of the short-term mask alone.

    No dropout on weights: fused kernels are faster without.
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
        """(B, T, dim) → (B, T, dim), or (B, P, dim) for the positions `at` (B, P) alone."""
        key_places = torch.arange(x.shape[1], device=x.device)
        if at is None and self.window is None:
            return self._mix(x, x, None, None, None)
        places = key_places if at is None else at
        if self.window is None:
            mask = key_places <= places[..., None]
        else:
            mask = build_short_term_mask(places, x.shape[1], self.window)
        return self._mix(x if at is None else gather_positions(x, at), x, at, None, mask)

    def attend_to(self, asked: Tensor, at: Tensor, x: Tensor, places: Tensor, seen: Tensor) -> Tensor:
        """(B, P, dim) for `asked` at the positions `at` (B, P), from nothing but `x` (B, S, dim) at `places` (B, S).

        `seen` (B, P, S) says which of them each asks; it must be what the mask would say.
        """
        return self._mix(asked, x, at, places, seen)

    def _mix(self, asked: Tensor, x: Tensor, at: Tensor | None, places: Tensor | None, mask: Tensor | None) -> Tensor:
        """Queries from `asked`, keys and values from `x`; without a mask the two are one and the mask is causal."""
        width = x.shape[-1]
        if asked is x:
            query, key, value = self._heads(F.linear(x, self.qkv.weight)).chunk(3, dim=1)
        else:
            query = self._heads(F.linear(asked, self.qkv.weight[:width]))
            key, value = self._heads(F.linear(x, self.qkv.weight[width:])).chunk(2, dim=1)
        if self.rotary is not None:
            query, key = self.rotary(query, at), self.rotary(key, places)
        if mask is not None and mask.ndim == 3:
            mask = mask[:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, n · heads · d) → (B, n · heads, T, d)"""
        split: Tensor = x.unflatten(-1, (-1, self.out.in_features // self.heads)).transpose(1, 2)
        return split
