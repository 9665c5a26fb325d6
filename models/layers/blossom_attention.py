"""BlossomRec's attention: long-term and short-term sparse attention on shared projections, mixed by gates.

Equations: arXiv 2512.13368; sizes and layout as in its published code. Deliberate differences from that code: exact
softmax in both branches, a sink at the oldest key, gates that keep their initial bias, a selector that learns
(models/LOG.md, "blossom encoder").
"""

import torch
from torch import Tensor, nn

from models.layers.block import gather_positions
from models.layers.block_selectors import build_block_selector
from models.layers.positional import RotaryPositions
from models.layers.sparse_attention import (
    attend_in_groups,
    attend_to_selected_blocks,
    attend_to_short_term,
    build_long_term_mask,
    build_short_term_mask,
)

GATE_BIAS = (-2.0, 2.0, -2.0)
"""Initial bias of long term, short term and selector output: the short term dominates until the others are trained."""
GATHER_LENGTH = 768
"""From this length on, gathering the keys of each query is faster than masks over all of them (models/LOG.md)."""


class BlossomAttention(nn.Module):
    """Attention whose heads share keys and values in groups.

    `block` is both the stride of the summaries and the size of a selected block; `selector` is a name in
    models/layers/block_selectors.py.
    """

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
        selector: str = "straight_through",
    ) -> None:
        super().__init__()
        assert dim % heads == 0
        assert heads % key_heads == 0
        self.heads, self.key_heads, self.head_dim = heads, key_heads, dim // heads
        self.block, self.blocks_chosen, self.short_window = block, blocks_chosen, short_window
        self.rotary = rotary
        self.qkv = nn.Linear(dim, dim + 2 * key_heads * self.head_dim, bias=False)
        self.selector = build_block_selector(selector, key_heads, self.head_dim, compress_window, block)
        self.branches = self.selector.branches
        self.gates = nn.Linear(dim, self.branches * heads)
        self.out = nn.Linear(dim, dim)

    def reset_gates(self) -> None:
        """Set the gates' initial bias; must run after the weights of the whole model are initialized."""
        with torch.no_grad():
            self.gates.bias.view(self.heads, self.branches).copy_(torch.tensor(GATE_BIAS[: self.branches]))

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, dim) → (B, T, dim), or (B, P, dim) if only the positions `at` (B, P) are computed."""
        sizes = [x.shape[-1], self.key_heads * self.head_dim, self.key_heads * self.head_dim]
        parts = self.qkv(x).split(sizes, -1)
        query, key, value = (part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in parts)
        if at is not None:
            x = gather_positions(x, at)
            query = query.gather(2, at[:, None, :, None].expand(-1, self.heads, -1, self.head_dim))
        query = self.rotary(query, at).unflatten(1, (self.key_heads, -1))  # (B, G, H/G, Q, d)
        positions = torch.arange(x.shape[1], device=x.device) if at is None else at
        key = self.rotary(key)
        importance, output = self.selector(query, key, value, positions)
        gate = self.gates(x).unflatten(-1, (self.key_heads, -1, self.branches)).permute(4, 0, 2, 3, 1).sigmoid()
        gate = gate[..., None]  # (branches, B, G, H/G, Q, 1)
        long_term, short_term = self._attend(query, key, value, importance, positions)
        mixed = gate[0] * long_term + gate[1] * short_term
        if output is not None:
            mixed = mixed + gate[2] * output
        out: Tensor = self.out(mixed.flatten(1, 2).transpose(1, 2).flatten(2))
        return out

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, importance: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute both branches: with masks over all keys, or from gathered keys where that is faster."""
        length, queries = key.shape[-2], query.shape[-2]
        if queries == 1 or length >= GATHER_LENGTH:
            selected = attend_to_selected_blocks(
                query, key, value, importance, positions, self.block, self.blocks_chosen
            )
            return selected, attend_to_short_term(query, key, value, positions, self.short_window)
        long_mask = build_long_term_mask(importance, positions, length, self.block, self.blocks_chosen)
        short_mask = build_short_term_mask(positions, length, self.short_window)
        if short_mask.ndim == 3:  # positions of each history
            short_mask = short_mask[:, None]
        long_term = attend_in_groups(query, key, value, long_mask, importance, self.block)
        return long_term, attend_in_groups(query, key, value, short_mask, None, self.block)
