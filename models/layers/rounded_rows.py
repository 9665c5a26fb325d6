"""Rows of a table in 8 bits per number, with one scale per row; fixed, not learned."""

import torch
from torch import Tensor, nn

LEVELS = 127


class RoundedRows(nn.Module):
    """`rounded` (rows, width) int8 times `scales` (rows,), so errors are at most 1/254 of a row's largest value."""

    rounded: Tensor
    scales: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.shape = (rows, width)
        self.register_buffer("rounded", torch.zeros(rows, width, dtype=torch.int8))
        self.register_buffer("scales", torch.zeros(rows))

    def round(self, values: Tensor) -> None:
        """Replace all rows by the nearest ones to `values` (rows, width)."""
        scales = values.abs().amax(dim=1) / LEVELS
        self.scales.copy_(scales)
        self.rounded.copy_((values / scales.clamp_min(1e-12)[:, None]).round())

    def forward(self, indices: Tensor) -> Tensor:
        """(R,) → (R, width)"""
        return self.rounded[indices].to(self.scales.dtype) * self.scales[indices, None]

    def restore(self) -> Tensor:
        """All rows, (rows, width), in floating point."""
        return self.rounded.to(self.scales.dtype) * self.scales[:, None]
