"""A dilated convolution over time that sees no future, as one matrix product per layer.

The k positions that an output sees are laid side by side and multiplied with one (k·dim, dim) matrix. That is what a
convolution is, it needs no transposition between channels and time, and the weights do not know the dilation, so that
layers of different dilation can share them.
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
        """(B, W, dim) → (B, W − (kernel − 1)·dilation, dim): only positions that see nothing but what is in `x`.

        For an output at every position, put (kernel − 1)·dilation zeros on the left of `x`.
        """
        length = x.shape[1] - (self.kernel - 1) * dilation
        taps = [x[:, tap * dilation : tap * dilation + length] for tap in range(self.kernel)]
        out: Tensor = self.taps(torch.cat(taps, dim=-1))
        return out
