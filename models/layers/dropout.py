"""Dropout whose masks are drawn a byte per element: on a CPU torch's own draws take a tenth of a training step."""

from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 256


class Dropout(nn.Dropout):
    """torch's dropout, or with `is_fast` one with other random draws and a rate rounded to 1 / 256."""

    is_fast = False

    def forward(self, x: Tensor) -> Tensor:
        threshold = round(self.p * LEVELS)
        if not (self.is_fast and self.training and 0 < threshold < LEVELS):
            return super().forward(x)
        out: Tensor = _ByteDropout.apply(x, threshold)  # type: ignore[no-untyped-call]
        return out


class _ByteDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        count = x.numel()
        draws = torch.empty((count + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        is_kept = draws.view(torch.uint8)[:count].view(x.shape) >= threshold
        factors = is_kept.to(x.dtype).mul_(LEVELS / (LEVELS - threshold))
        ctx.save_for_backward(factors)
        return x * factors

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (factors,) = ctx.saved_tensors
        return grads[0] * factors, None
