"""Block with two parallel branches, a local convolution and global attention, and a network that merges them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dropout import Dropout
from models.layers.light_convolution import LightConvolution
from models.layers.positional import RotaryPositions


class GlobalAttention(nn.Module):
    """Ĥ = softmax(Q Kᵀ / √(D / heads)) V, LSAN (CIKM 2021), section 3.2.2, whose output matrix is the FFN's first.

    `rotary` rotates queries and keys, in place of the vectors P that the paper adds to the input.
    """

    def __init__(self, dim: int, heads: int, rotary: RotaryPositions | None = None, *, causal: bool) -> None:
        super().__init__()
        assert dim % heads == 0
        self.heads, self.causal, self.rotary = heads, causal, rotary
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)

    def forward(self, x: Tensor, valid: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, dim), `valid` (B, T) → (B, T, dim), or (B, 1, dim) if only the positions `at` (B,) are computed.

        Causal attention does not need `valid`: padding is on the right, outside its mask.
        """
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if at is not None:
            query = query[torch.arange(len(at), device=at.device), :, at][:, :, None]
        if self.rotary is not None:
            query, key = self.rotary(query, None if at is None else at[:, None]), self.rotary(key)
        if self.causal and at is None:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            visible = valid if at is None else torch.arange(x.shape[1], device=x.device) <= at[:, None]
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible[:, None, None])
        return mixed.transpose(1, 2).flatten(2)


class TwinBlock(nn.Module):
    """Twin attention and the network after it: LSAN (CIKM 2021), sections 3.2.3 and 3.3.1.

    H^twin = [H^conv ; Ĥ], (B, T, 2D), and Ĥ^twin = GeLU(H^twin W_p^(1) + b_p^(1)) W_p^(2) + b_p^(2), 2D → D → D, or
    2D → `hidden` → D. Both branches read H; only attention adds the position vectors P. With `residual` the block is
    H + FFN(norm(H)).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        window: int,
        dropout: float,
        *,
        hidden: int,
        rotary: RotaryPositions | None,
        causal: bool,
        residual: bool,
        normalised: bool,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.norm = nn.LayerNorm(dim) if residual else nn.Identity()
        self.convolution = LightConvolution(dim, heads, window, causal=causal, normalised=normalised)
        self.attention = GlobalAttention(dim, heads, rotary, causal=causal)
        self.merge = nn.Sequential(nn.Linear(2 * dim, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, dim))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, positions: nn.Module, valid: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, dim) → (B, T, dim), or (B, 1, dim) if only the positions `at` (B,) are computed."""
        normed = self.norm(x)
        if self.convolution.right_padding:  # positions after the end must not leak into the sequence
            normed = normed.masked_fill(~valid[..., None], 0.0)
        local, distant = self.convolution(normed, at), self.attention(positions(normed), valid, at)
        out: Tensor = self.dropout(self.merge(torch.cat((local, distant), dim=-1)))
        if not self.residual:
            return out
        return out + (x if at is None else x[torch.arange(len(at), device=at.device), at][:, None])
