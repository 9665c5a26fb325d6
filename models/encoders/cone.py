"""Our encoder: gated blocks whose top one looks through a static mask, so that an answer needs few positions below.

All blocks but the top are dense and causal. The top has BlossomRec's short-term mask (arXiv 2512.13368): the newest
positions, distances that are powers of two, and the oldest position. What it gives at the last position depends on 14
positions of the block below for a history of 200, and on 18 for one of 8,192: `forward_last` computes these and no others, and
the answer is the same.
"""

from typing import cast

import torch
from torch import Tensor, nn

from models.encoders.base import SequenceEncoder
from models.layers.attention import CausalSelfAttention
from models.layers.feed_forward import GatedFeedForward
from models.layers.gated_block import GatedBlock
from models.layers.positional import RotaryPositions


class ConeEncoder(SequenceEncoder):
    """`window` newest positions and powers of two behind them are what the top block sees."""

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
            raise ValueError(f"a cone has a top and at least one block below it, not {layers} layers")
        if dim % heads:
            raise ValueError(f"dim {dim} does not split into {heads} heads")
        rotary = RotaryPositions(dim // heads, max_len)
        self.scale = dim**0.5  # item vectors start small; without this the first blocks would drown them
        self.window = window
        self.dropout = nn.Dropout(dropout)
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

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002  (causal and right-padded: not needed)
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
        places, seen = compute_short_term_positions(lengths - 1, x.shape[1], self.window)
        x = under(x, places)
        out: Tensor = self.norm(top.attend_to(lengths[:, None] - 1, x, places, seen))
        return out.squeeze(1)


def compute_short_term_positions(last: Tensor, length: int, window: int) -> tuple[Tensor, Tensor]:
    """What the short-term mask shows to the positions `forward_last` (B,): places (B, S), the first is `forward_last` itself.

    And `seen` (B, 1, S): False for places that stand for nothing, where a history is too short for the distance.
    """
    # Made on the device: a graph cannot hold a copy from the host.
    least, most = (window - 1).bit_length(), (length - 1).bit_length()
    powers = 2 ** torch.arange(least, max(least, most), device=last.device)
    distances = torch.cat((torch.arange(min(window, length), device=last.device), powers))
    places = last[:, None] - distances
    seen = places >= 0
    oldest = torch.zeros_like(places[:, :1])  # the sink, unless a distance reaches it already
    sink = ~(places == 0).any(1, keepdim=True)
    return torch.cat((places.clamp_min(0), oldest), 1), torch.cat((seen, sink), 1)[:, None]
