"""BlossomRec's attention: long-term and short-term sparse attention on shared projections, mixed by gates.

Equations: arXiv 2512.13368; sizes and reading order as in its published code. What differs from that code, and why:
exact softmax in both branches, a sink at the oldest key, gates that keep their initial bias, a selector that learns
(models/LOG.md, "blossom encoder").
"""

import torch
from torch import Tensor, nn

from models.layers.gather import positions_of
from models.layers.positional import RotaryPositions
from models.layers.sparse_attention import block_importance, long_term_bias, short_term_mask

LONG_TERM_BIAS, SHORT_TERM_BIAS = -2.0, 2.0
"""Of the gates at the start: the short term leads until the long term has learned something."""


class BlockSummaries(nn.Module):
    """Compresses windows of keys to one key each: window j covers positions [j·stride − overlap, (j+1)·stride).

    A learned position within the window is added to every key before a two-layer network flattens the window.
    """

    def __init__(self, key_heads: int, head_dim: int, window: int, stride: int) -> None:
        super().__init__()
        if window < stride:
            raise ValueError(f"windows of {window} leave gaps at a stride of {stride}")
        self.window, self.stride = window, stride
        self.positions = nn.Parameter(torch.zeros(key_heads, window, head_dim))
        flat = window * head_dim
        self.network = nn.Sequential(nn.Linear(flat, flat), nn.ReLU(), nn.Linear(flat, head_dim))

    def forward(self, key: Tensor) -> Tensor:
        """(B, G, T, d) → (B, G, T // stride, d); the keys behind the last whole block are not summed up yet."""
        count = key.shape[2] // self.stride
        if not count:  # a history shorter than a block has nothing to choose from
            return key[:, :, :0]
        whole = key[:, :, : count * self.stride]
        padded = nn.functional.pad(whole, (0, 0, self.window - self.stride, 0))
        windows = padded.unfold(2, self.window, self.stride).transpose(-1, -2)  # (B, G, J, window, d)
        summaries: Tensor = self.network((windows + self.positions[:, None]).flatten(-2))
        return summaries


class BlossomAttention(nn.Module):
    """Heads share keys and values in groups. `block` is both the stride of the summaries and the block chosen."""

    def __init__(
        self,
        dim: int,
        rotary: RotaryPositions,
        *,
        heads: int,
        key_heads: int,
        compress_window: int,
        block: int,
        blocks_chosen: int,
        short_window: int,
    ) -> None:
        super().__init__()
        assert dim % heads == 0
        assert heads % key_heads == 0
        self.heads, self.key_heads, self.head_dim = heads, key_heads, dim // heads
        self.block, self.blocks_chosen, self.short_window = block, blocks_chosen, short_window
        self.rotary = rotary
        self.qkv = nn.Linear(dim, dim + 2 * key_heads * self.head_dim, bias=False)
        self.summaries = BlockSummaries(key_heads, self.head_dim, compress_window, block)
        self.gates = nn.Linear(dim, 2 * heads)
        self.out = nn.Linear(dim, dim)

    def reset_gates(self) -> None:
        """Call after the weights of the whole model have been initialised, or the start is lost."""
        with torch.no_grad():
            self.gates.bias.view(self.heads, 2).copy_(torch.tensor([LONG_TERM_BIAS, SHORT_TERM_BIAS]))

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, dim) → (B, T, dim), or (B, P, dim) for the positions `at` (B, P) alone."""
        sizes = [x.shape[-1], self.key_heads * self.head_dim, self.key_heads * self.head_dim]
        parts = self.qkv(x).split(sizes, -1)
        query, key, value = (part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in parts)
        if at is not None:
            x = positions_of(x, at)
            query = query.gather(2, at[:, None, :, None].expand(-1, self.heads, -1, self.head_dim))
        query = self.rotary(query, at).unflatten(1, (self.key_heads, -1))  # (B, G, H/G, Q, d)
        places = torch.arange(x.shape[1], device=x.device) if at is None else at
        long_term, short_term = self._weights(query, self.rotary(key), places)
        gate = self.gates(x).unflatten(-1, (self.key_heads, -1, 2)).permute(4, 0, 2, 3, 1).sigmoid()[..., None]
        mixed = (gate[0] * long_term + gate[1] * short_term) @ value[:, :, None]
        out: Tensor = self.out(mixed.flatten(1, 2).transpose(1, 2).flatten(2))
        return out

    def _weights(self, query: Tensor, key: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Two (B, G, H/G, Q, T) softmaxes over one product of queries and keys."""
        length = key.shape[-2]
        logits = (query * self.head_dim**-0.5) @ key[:, :, None].transpose(-1, -2)
        short_mask = short_term_mask(places, length, self.short_window)
        short_term = logits.masked_fill(~short_mask[..., None, None, :, :], -torch.inf).softmax(-1)
        importance = block_importance(query, self.summaries(key), places, self.block)
        bias = long_term_bias(importance, places, length, self.block, self.blocks_chosen)
        return (logits + bias[:, :, None]).softmax(-1), short_term
