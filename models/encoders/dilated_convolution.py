"""Causal dilated convolutions with shared weights: NextItNet, compressed as in CpRec (arXiv 2004.13139).

One residual block of base dilation l, the "block (b)" of NextItNet (arXiv 1808.05163), which CpRec builds on:

    x + dropout( ReLU LN conv_2l( ReLU LN conv_l( x ) ) )

The sharing scheme of CpRec's section on layer-wise parameter sharing decides which convolutions share weights; every
layer has its own norm. Dropout is an addition: the published network has none.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.encoders.base import SequenceEncoder
from models.layers.block import assign_weight_sets
from models.layers.causal_convolution import CausalConvolution
from models.layers.dropout import Dropout


class DilatedConvolutionEncoder(SequenceEncoder):
    """`dilations` are the base dilations, one per residual block; a block's second convolution has twice its base.

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
            raise ValueError(f"dilations must be at least 1 and kernel at least 2 (got {list(dilations)} and {kernel})")
        del max_len  # unused: there are no learned positions
        self.dilations = tuple(l * times for l in dilations for times in (1, 2))  # noqa: E741  (the paper's letter)
        self.sets = assign_weight_sets(sharing, len(self.dilations))
        self.convolutions = nn.ModuleList(CausalConvolution(dim, kernel) for _ in set(self.sets))
        # At the start, outputs of the first convolution have the scale of the item vectors, 0.02, times 0.02: the usual
        # eps of 1e-5 would dominate their variance.
        self.norms = nn.ModuleList(nn.LayerNorm(dim, eps=1e-8) for _ in self.dilations)
        self.dropout = Dropout(dropout)
        self.kernel = kernel
        self.receptive_field = 1 + (kernel - 1) * sum(self.dilations)
        """Number of newest positions on which one output depends."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002  (unused: causal and right-padded)
        for first in range(0, len(self.dilations), 2):
            branch = x
            for layer in (first, first + 1):
                past = (self.kernel - 1) * self.dilations[layer]
                branch = self._apply_layer(layer, F.pad(branch, (0, 0, past, 0)))
            x = x + self.dropout(branch)
        return x

    def forward_last(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Compute only the receptive field of the last position; every layer shortens the window by its reach.

        Positions before the first item must be zero at the input of every layer, as in `forward`.
        """
        if x.shape[1] < self.receptive_field:
            return super().forward_last(x, lengths)
        window = torch.arange(self.receptive_field, device=lengths.device)
        positions = lengths[:, None] - self.receptive_field + window
        is_item = (positions >= 0)[..., None]
        rows = torch.arange(len(lengths), device=lengths.device)[:, None]
        x = x[rows, positions.clamp_min(0)] * is_item
        for first in range(0, len(self.dilations), 2):
            branch = x
            for layer in (first, first + 1):
                branch = self._apply_layer(layer, branch)
                branch = branch * is_item[:, -branch.shape[1] :]
            x = x[:, -branch.shape[1] :] + self.dropout(branch)
        return x.squeeze(1)

    def _apply_layer(self, layer: int, x: Tensor) -> Tensor:
        """(B, W, dim) → (B, W − (kernel − 1)·dilation, dim)"""
        convolution = self.convolutions[self.sets[layer]]
        normed: Tensor = self.norms[layer](convolution(x, self.dilations[layer]))
        return normed.relu()
