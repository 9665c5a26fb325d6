"""The dense baseline: a causal transformer over the history, as SASRec (arXiv 1808.09781), with pre-norm blocks."""

from typing import Literal

from torch import Tensor, nn

from models.encoders.base import SequenceEncoder
from models.layers.attention import CausalSelfAttention
from models.layers.block import assign_weight_sets, build_shared_blocks
from models.layers.dropout import Dropout
from models.layers.feed_forward import FeedForward
from models.layers.positional import LearnedPositions, RotaryPositions


class SelfAttentionEncoder(SequenceEncoder):
    """`sharing` lets blocks share weights except norms: a layer of models/layers/block.py is a block here."""

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
        positions: Literal["rotary", "learned"] = "rotary",
        sharing: str = "original",
    ) -> None:
        super().__init__()
        if positions not in ("rotary", "learned"):
            raise ValueError(f"positions must be 'rotary' or 'learned' (got {positions!r})")
        if dim % heads:
            raise ValueError(f"heads must divide dim {dim} (got {heads})")
        rotary = RotaryPositions(dim // heads, max_len) if positions == "rotary" else None
        # Item vectors start small; without this the output of the first block would dominate them.
        self.scale = dim**0.5
        self.positions = LearnedPositions(dim, max_len) if positions == "learned" else nn.Identity()
        self.dropout = Dropout(dropout)
        self.blocks = build_shared_blocks(
            assign_weight_sets(sharing, layers),
            lambda: (CausalSelfAttention(dim, heads, rotary), FeedForward(dim, hidden, dropout)),
            dim,
            dropout,
            pre_norm=True,
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002  (unused: causal and right-padded)
        return self._encode(x)

    def forward_last(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self._encode(x, lengths[:, None] - 1).squeeze(1)

    def _encode(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        x = self.dropout(self.positions(x * self.scale))
        *below, top = self.blocks
        for block in below:
            x = block(x)
        out: Tensor = self.norm(top(x, at))
        return out
