"""The default encoder: gated blocks with a sparse mask at the top, so that the last output needs few positions.

All blocks but the top are dense and causal. The top has BlossomRec's short-term mask (arXiv 2512.13368): the newest
positions, distances that are powers of two, and the oldest position. Its output at the last position depends on 14
positions of the block below for a history of 200, and on 18 for one of 8,192: `forward_last` computes only these, with
the same result.
"""

from typing import cast

import torch
from torch import Tensor, nn

from models.encoders.base import SequenceEncoder
from models.layers.attention import CausalSelfAttention
from models.layers.dropout import Dropout
from models.layers.feed_forward import GatedFeedForward
from models.layers.gated_block import GatedBlock
from models.layers.positional import RotaryPositions


class ConeEncoder(SequenceEncoder):
    """The top block reads the `window` newest positions and those at distances of powers of two before them."""

    causal = True

    def __init__(
        self,
        dim: int,
        max_len: int,
        dropout: float,
        *,
        layers: int = 2,
        heads: int = 2,
        hidden: int = 256,
        window: int = 8,
    ) -> None:
        super().__init__()
        if layers < 2:
            raise ValueError(f"layers must be at least 2, a top block and one below it (got {layers})")
        if dim % heads:
            raise ValueError(f"heads must divide dim {dim} (got {heads})")
        rotary = RotaryPositions(dim // heads, max_len)
        # Item vectors start small; without this the output of the first block would dominate them.
        self.scale = dim**0.5
        self.window = window
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            GatedBlock(
                dim,
                CausalSelfAttention(dim, heads, rotary, window if layer == layers - 1 else None),
                GatedFeedForward(dim, hidden, dropout),
                dropout,
            )
            for layer in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002  (unused: causal and right-padded)
        x = self.dropout(x * self.scale)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def forward_last(self, x: Tensor, lengths: Tensor) -> Tensor:
        x = self.dropout(x * self.scale)
        *below, under, top = cast("list[GatedBlock]", list(self.blocks))
        for block in below:
            x = block(x)
        positions, is_visible = compute_short_term_positions(lengths - 1, x.shape[1], self.window)
        x = under(x, positions)
        out: Tensor = self.norm(top.attend_to(lengths[:, None] - 1, x, positions, is_visible))
        return out.squeeze(1)


def compute_short_term_positions(last: Tensor, length: int, window: int) -> tuple[Tensor, Tensor]:
    """List the positions that the short-term mask lets the positions `last` (B,) read: (B, S), with `last` first.

    Also returns `is_visible` (B, 1, S), False for entries whose distance is longer than the history.
    """
    # Created on the device: a CUDA graph cannot capture a copy from the host.
    least, most = (window - 1).bit_length(), (length - 1).bit_length()
    powers = 2 ** torch.arange(least, max(least, most), device=last.device)
    distances = torch.cat((torch.arange(min(window, length), device=last.device), powers))
    positions = last[:, None] - distances
    is_visible = positions >= 0
    oldest = torch.zeros_like(positions[:, :1])  # the attention sink, unless one of the distances reaches it
    is_sink_visible = ~(positions == 0).any(1, keepdim=True)
    return torch.cat((positions.clamp_min(0), oldest), 1), torch.cat((is_visible, is_sink_visible), 1)[:, None]
