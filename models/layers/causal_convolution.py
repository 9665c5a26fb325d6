"""Causal dilated convolution over time, as one matrix product per layer.

The k input positions of an output are concatenated and multiplied with one (k·dim, dim) matrix. This is equivalent to a
convolution, needs no transposition between channels and time, and its weights do not depend on the dilation, so layers
of different dilation can share them.
"""

import torch
from torch import Tensor, nn


class CausalConvolution(nn.Module):
    """dim → dim with `kernel` taps and a bias: kernel·dim² + dim weights, the oldest tap first."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.taps = nn.Linear(kernel * dim, dim)

    def forward(self, x: Tensor, dilation: int) -> Tensor:
        """(B, W, dim) → (B, W − (kernel − 1)·dilation, dim): only positions whose inputs are all in `x`.

        For an output at every position, pad `x` with (kernel − 1)·dilation zeros on the left.
        """
        length = x.shape[1] - (self.kernel - 1) * dilation
        taps = [x[:, tap * dilation : tap * dilation + length] for tap in range(self.kernel)]
        out: Tensor = self.taps(torch.cat(taps, dim=-1))
        return out
