"""Our encoder: gated blocks whose top one looks through a static mask, so that an answer needs few positions below.

All blocks but the top are dense and causal. The top has BlossomRec's short-term mask (arXiv 2512.13368): the newest
positions, distances that are powers of two, and the oldest position. What it gives at the last position depends on 14
positions of the block below for a history of 200, and on 18 for one of 8,192: `last` computes these and no others, and
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
    """`window` newest positions and powers of two behind them are what the top block sees.

    The blocks may be wider than the item vectors (`width`): they are few, items are many.
    """

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
        width: int | None = None,
    ) -> None:
        super().__init__()
        if layers < 2:
            raise ValueError(f"a cone has a top and at least one block below it, not {layers} layers")
        width = width or dim
        if width % heads:
            raise ValueError(f"width {width} does not split into {heads} heads")
        rotary = RotaryPositions(width // heads, max_len)
        self.widen = nn.Linear(dim, width, bias=False) if width != dim else nn.Identity()
        self.narrow = nn.Linear(width, dim, bias=False) if width != dim else nn.Identity()
        self.scale = dim**0.5  # item vectors start small; without this the first blocks would drown them
        self.window = window
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            GatedBlock(
                width,
                CausalSelfAttention(width, heads, rotary, window if layer == layers - 1 else None),
                GatedFeedForward(width, hidden, dropout),
                dropout,
            )
            for layer in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def reset_special(self) -> None:
        """Item vectors enter and leave at the scale that they would have without the change of width."""
        for module in (self.widen, self.narrow):
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002  (causal and right-padded: not needed)
        x = self.dropout(self.widen(x * self.scale))
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.narrow(self.norm(x))
        return out

    def last(self, x: Tensor, lengths: Tensor) -> Tensor:
        x = self.dropout(self.widen(x * self.scale))
        *below, under, top = cast("list[GatedBlock]", list(self.blocks))
        for block in below:
            x = block(x)
        places, seen = short_term_places(lengths - 1, x.shape[1], self.window)
        x = under(x, places)
        out: Tensor = self.narrow(self.norm(top.over(lengths[:, None] - 1, x, places, seen)))
        return out.squeeze(1)


def short_term_places(last: Tensor, length: int, window: int) -> tuple[Tensor, Tensor]:
    """What the short-term mask shows to the positions `last` (B,): places (B, S), the first is `last` itself.

    And `seen` (B, 1, S): False for places that stand for nothing, where a history is too short for the distance.
    """
    powers = [1 << n for n in range(length.bit_length()) if window <= 1 << n < length]
    distances = torch.tensor([*range(min(window, length)), *powers], device=last.device)
    places = last[:, None] - distances
    seen = places >= 0
    oldest = torch.zeros_like(places[:, :1])  # the sink, unless a distance reaches it already
    sink = ~(places == 0).any(1, keepdim=True)
    return torch.cat((places.clamp_min(0), oldest), 1), torch.cat((seen, sink), 1)[:, None]
