"""BlossomRec's encoder (arXiv 2512.13368): post-norm blocks around gated long- and short-term sparse attention."""

from torch import Tensor, nn

from models.encoders.base import SequenceEncoder
from models.layers.block import assign_weight_sets, build_shared_blocks
from models.layers.blossom_attention import BlossomAttention
from models.layers.dropout import Dropout
from models.layers.feed_forward import FeedForward
from models.layers.positional import RotaryPositions


class BlossomEncoder(SequenceEncoder):
    """Defaults are the published sizes, except `heads`, which has the published head width of 16 at dim 64.

    `selector` decides which earlier blocks a query reads: a name in models/layers/block_selectors.py.
    `sharing` lets blocks share weights except norms: a layer of models/layers/block.py is a block here.
    """

    causal = True

    def __init__(
        self,
        dim: int,
        max_len: int,
        dropout: float,
        *,
        layers: int = 2,
        heads: int = 4,
        key_heads: int = 2,
        hidden: int = 256,
        compress_window: int = 32,
        block: int = 16,
        blocks_chosen: int = 4,
        short_window: int = 8,
        selector: str = "straight_through",
        sharing: str = "original",
    ) -> None:
        super().__init__()
        if dim % heads or heads % key_heads:
            raise ValueError(
                f"heads must divide dim, and key_heads must divide heads (got {dim}, {heads}, {key_heads})"
            )
        rotary = RotaryPositions(dim // heads, max_len)
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)
        self.attentions: list[BlossomAttention] = []

        def build_sublayers() -> tuple[nn.Module, nn.Module]:
            attention = BlossomAttention(
                dim,
                rotary,
                heads=heads,
                key_heads=key_heads,
                compress_window=compress_window,
                block=block,
                blocks_chosen=blocks_chosen,
                short_window=short_window,
                selector=selector,
            )
            self.attentions.append(attention)
            return attention, FeedForward(dim, hidden, dropout)

        weight_sets = assign_weight_sets(sharing, layers)
        self.blocks = build_shared_blocks(weight_sets, build_sublayers, dim, dropout, pre_norm=False)

    def reset_special(self) -> None:
        for attention in self.attentions:
            attention.reset_gates()

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002  (unused: causal and right-padded)
        return self._encode(x)

    def forward_last(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self._encode(x, lengths[:, None] - 1).squeeze(1)

    def _encode(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        x = self.dropout(self.norm(x))
        *below, top = self.blocks
        for block in below:
            x = block(x)
        out: Tensor = top(x, at)
        return out
