"""A stack of causal dilated convolutions with shared weights: NextItNet compressed, as CpRec (arXiv 2004.13139) does.

One residual block of base dilation l, the "block (b)" of NextItNet (arXiv 1808.05163), which CpRec builds on:

    x + dropout( ReLU LN conv_2l( ReLU LN conv_l( x ) ) )

Which of the convolutions are one and the same is the sharing scheme of CpRec's section on layer-wise parameter sharing;
every layer keeps its own norm. Dropout is ours: the published network has none.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.encoders.base import SequenceEncoder
from models.layers.block import assign_weight_sets
from models.layers.causal_convolution import CausalConvolution


class DilatedConvolutionEncoder(SequenceEncoder):
    """`dilations` are the base dilations, one per residual block; the second convolution of a block has twice of it.

    With kernel k and C = dim a distinct convolution has k·C² + C weights and each of the 2 · blocks norms 2C.
    """

    causal = True

    def __init__(
        self,
        dim: int,
        max_len: int,
        dropout: float,
        *,
        dilations: Sequence[int] = (1, 4, 1, 4),
        kernel: int = 3,
        sharing: str = "adjacent_block",
    ) -> None:
        super().__init__()
        if not dilations or min(dilations) < 1 or kernel < 2:
            raise ValueError(f"dilations {list(dilations)} and kernel {kernel} make no convolution over time")
        del max_len  # any length will do: there are no positions to learn
        self.dilations = tuple(l * times for l in dilations for times in (1, 2))  # noqa: E741  (the paper's letter)
        self.sets = assign_weight_sets(sharing, len(self.dilations))
        self.convolutions = nn.ModuleList(CausalConvolution(dim, kernel) for _ in set(self.sets))
        # At the start an output of the first convolution is of the order of the item vectors, 0.02, times 0.02: its
        # variance would drown in the usual eps of 1e-5.
        self.norms = nn.ModuleList(nn.LayerNorm(dim, eps=1e-8) for _ in self.dilations)
        self.dropout = nn.Dropout(dropout)
        self.kernel = kernel
        self.receptive_field = 1 + (kernel - 1) * sum(self.dilations)
        """How many newest positions one output depends on."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002  (causal and right-padded: not needed)
        for first in range(0, len(self.dilations), 2):
            branch = x
            for layer in (first, first + 1):
                past = (self.kernel - 1) * self.dilations[layer]
                branch = self._layer(layer, F.pad(branch, (0, 0, past, 0)))
            x = x + self.dropout(branch)
        return x

    def forward_last(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The window that the last position of each row depends on; every layer shortens it by what it looks back.

        What a window holds before the first item must be zero on the way into every layer, as in `forward`.
        """
        if x.shape[1] < self.receptive_field:
            return super().forward_last(x, lengths)
        places = lengths[:, None] - self.receptive_field + torch.arange(self.receptive_field, device=lengths.device)
        begun = (places >= 0)[..., None]
        rows = torch.arange(len(lengths), device=lengths.device)[:, None]
        x = x[rows, places.clamp_min(0)] * begun
        for first in range(0, len(self.dilations), 2):
            branch = x
            for layer in (first, first + 1):
                branch = self._layer(layer, branch)
                branch = branch * begun[:, -branch.shape[1] :]
            x = x[:, -branch.shape[1] :] + self.dropout(branch)
        return x.squeeze(1)

    def _layer(self, layer: int, x: Tensor) -> Tensor:
        """(B, W, dim) → (B, W − (kernel − 1)·dilation, dim)"""
        convolution = self.convolutions[self.sets[layer]]
        normed: Tensor = self.norms[layer](convolution(x, self.dilations[layer]))
        return normed.relu()
