"""LSAN's encoder (CIKM 2021): a light convolution for near positions in parallel with attention for distant ones."""

from typing import Literal

import torch
from torch import Tensor, nn

from models.encoders.base import SequenceEncoder
from models.layers.block import initialize_without_norms
from models.layers.dropout import Dropout
from models.layers.positional import LearnedPositions, RotaryPositions
from models.layers.twin_block import TwinBlock


class TwinAttentionEncoder(SequenceEncoder):
    """Blocks of twin attention, LSAN (CIKM 2021), sections 3.2 and 3.3.1, that share one position table P.

    `positions="rotary"` rotates queries and keys instead, and `hidden` widens the network after the branches. Both are
    additions that bring the encoder to the accuracy of `self_attention` (models/LOG.md).

    The paper's formulas have a centred window and no causal mask. That is valid only if a sequence has one target, the
    item after its end: `form="prefix"`. At any other position the target would leak into the input. `form="causal"`
    reads only earlier positions in both branches, so it learns from every position in one pass.

    `residual` adds a norm before each block, a residual connection around it and a final norm. The paper's formulas
    have one block and none of these: `residual=False` is the literal form. It learns too, but needed more epochs in
    each trial.
    """

    def __init__(
        self,
        dim: int,
        max_len: int,
        dropout: float,
        *,
        layers: int = 1,
        heads: int = 2,
        window: int = 5,
        hidden: int | None = None,
        positions: Literal["learned", "rotary"] = "learned",
        form: Literal["causal", "prefix"] = "causal",
        residual: bool = True,
        normalised_kernels: bool = False,
    ) -> None:
        super().__init__()
        if form not in ("causal", "prefix"):
            raise ValueError(f"form must be 'causal' or 'prefix' (got {form!r})")
        if positions not in ("learned", "rotary"):
            raise ValueError(f"positions must be 'learned' or 'rotary' (got {positions!r})")
        if dim % heads:
            raise ValueError(f"heads must divide dim {dim} (got {heads})")
        if layers < 1 or window < 1:
            raise ValueError(f"layers and window must be at least 1 (got {layers} and {window})")
        self.causal = form == "causal"
        self.scale = dim**0.5  # item vectors start small; without this the positions would dominate them
        self.dropout = Dropout(dropout)
        rotary = RotaryPositions(dim // heads, max_len) if positions == "rotary" else None
        self.positions: nn.Module = nn.Identity() if rotary is not None else LearnedPositions(dim, max_len)
        self.blocks = nn.ModuleList(
            TwinBlock(
                dim,
                heads,
                window,
                dropout,
                hidden=dim if hidden is None else hidden,
                rotary=rotary,
                causal=self.causal,
                residual=residual,
                normalised=normalised_kernels,
            )
            for _ in range(layers)
        )
        self.residual = residual
        self.norm = nn.LayerNorm(dim) if residual else nn.Identity()

    def reset_special(self) -> None:
        if not self.residual:  # and therefore no norm
            initialize_without_norms(self.blocks)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self._encode(x, lengths)

    def forward_last(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self._encode(x, lengths, lengths - 1).squeeze(1)

    def _encode(self, x: Tensor, lengths: Tensor, at: Tensor | None = None) -> Tensor:
        valid = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        x = self.dropout(x * self.scale)
        *below, top = self.blocks
        for block in below:
            x = block(x, self.positions, valid)
        out: Tensor = self.norm(top(x, self.positions, valid, at))
        return out
