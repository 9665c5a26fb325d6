"""Convolution with very few weights: all channels of a head share one kernel."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LightConvolution(nn.Module):
    """Sums the items around each position, weighted by distance only: LSAN (CIKM 2021), section 3.2.1.

    H^conv[i, d] = Σ_{j=1..L} W^conv_j · H[i + offset(j), d], with one kernel W^conv of L = `window` weights for the
    channels of each head. The paper's window is centred, offset(j) = j − ⌈(L + 1) / 2⌉; with `causal` it ends
    at i, offset(j) = j − L. Positions outside the sequence are zero. `normalised` applies a softmax to each kernel,
    as in the convolutions from which this one is derived; the paper does not.
    """

    def __init__(self, dim: int, heads: int, window: int, *, causal: bool, normalised: bool) -> None:
        super().__init__()
        assert dim % heads == 0
        self.channels = dim // heads
        self.left_padding = window - 1 if causal else window // 2
        self.right_padding = window - 1 - self.left_padding
        self.normalised = normalised
        self.kernel = nn.Parameter(torch.empty(heads, window))
        nn.init.normal_(self.kernel, std=window**-0.5)

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, dim), zero after each end if not causal → the same shape, or (B, 1, dim) at positions `at` (B,)."""
        kernel = self.kernel.softmax(-1) if self.normalised else self.kernel
        taps = kernel.repeat_interleave(self.channels, dim=0).T  # (L, dim)
        padded = F.pad(x, (0, 0, self.left_padding, self.right_padding))
        if at is not None:
            window = at[:, None] + torch.arange(len(taps), device=x.device)
            return (padded[torch.arange(len(at), device=x.device)[:, None], window] * taps).sum(1, keepdim=True)
        length = x.shape[1]
        out = padded[:, :length] * taps[0]
        for j in range(1, len(taps)):
            out = torch.addcmul(out, padded[:, j : j + length], taps[j])
        return out
