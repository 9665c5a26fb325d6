"""Compression of windows of keys (or values) to one vector each: φ of NSA (arXiv 2502.11089)."""

import torch
from torch import Tensor, nn


class BlockSummaries(nn.Module):
    """Compresses windows of keys to one key each: window j covers positions [j·stride − overlap, (j+1)·stride).

    A learned position within the window is added to every key before a two-layer network flattens the window.
    """

    def __init__(self, key_heads: int, head_dim: int, window: int, stride: int) -> None:
        super().__init__()
        if window < stride:
            raise ValueError(f"the window must be at least the stride of {stride} (got {window})")
        self.window, self.stride = window, stride
        self.positions = nn.Parameter(torch.zeros(key_heads, window, head_dim))
        flat = window * head_dim
        self.network = nn.Sequential(nn.Linear(flat, flat), nn.ReLU(), nn.Linear(flat, head_dim))

    def forward(self, key: Tensor) -> Tensor:
        """(B, G, T, d) → (B, G, T // stride, d); keys after the last complete block are not summarized."""
        count = key.shape[2] // self.stride
        if not count:  # a history shorter than a block has no blocks to select
            return key[:, :, :0]
        whole = key[:, :, : count * self.stride]
        padded = nn.functional.pad(whole, (0, 0, self.window - self.stride, 0))
        windows = padded.unfold(2, self.window, self.stride).transpose(-1, -2)  # (B, G, J, window, d)
        summaries: Tensor = self.network((windows + self.positions[:, None]).flatten(-2))
        return summaries
