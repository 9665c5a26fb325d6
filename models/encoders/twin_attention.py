"""LSAN's encoder (CIKM 2021): a light convolution reads what is near and attention what is far, side by side."""

from typing import Literal

import torch
from torch import Tensor, nn

from models.encoders.base import SequenceEncoder
from models.layers.block import initialize_without_norms
from models.layers.positional import LearnedPositions
from models.layers.twin_block import TwinBlock


class TwinAttentionEncoder(SequenceEncoder):
    """Blocks of twin attention, LSAN (CIKM 2021), sections 3.2 and 3.3.1, that share one table of positions P.

    The paper's formulas have a centred window and no causal mask. That is sound as long as a sequence has one target,
    the item behind its end: `form="prefix"`. At any other position it would read the answer. `form="causal"` looks
    only back, in both branches, and so learns from every position in one pass.

    `residual` puts a norm before each block, a sum around it and a norm at the end. The paper's formulas have none of
    them, and one block: `residual=False` is the literal form. It learns too, but needed more epochs in each trial.
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
        form: Literal["causal", "prefix"] = "causal",
        residual: bool = True,
        normalised_kernels: bool = False,
    ) -> None:
        super().__init__()
        if form not in ("causal", "prefix"):
            raise ValueError(f"form must be 'causal' or 'prefix', not {form!r}")
        if dim % heads:
            raise ValueError(f"dim {dim} does not split into {heads} heads")
        if layers < 1 or window < 1:
            raise ValueError(f"layers and window must be 1 or more, not {layers} and {window}")
        self.causal = form == "causal"
        self.scale = dim**0.5  # item vectors start small; without this the positions would drown them
        self.dropout = nn.Dropout(dropout)
        self.positions = LearnedPositions(dim, max_len)
        self.blocks = nn.ModuleList(
            TwinBlock(
                dim,
                heads,
                window,
                dropout,
                causal=self.causal,
                residual=residual,
                normalised=normalised_kernels,
            )
            for _ in range(layers)
        )
        self.residual = residual
        self.norm = nn.LayerNorm(dim) if residual else nn.Identity()

    def reset_special(self) -> None:
        if not self.residual:  # and so no norm
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
