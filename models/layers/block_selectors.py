"""Selectors of the earlier blocks that a query of BlossomRec's long-term attention attends to.

Some have no weights and serve as baselines: if the newest or random blocks do as well, learned selection does not help.
Rules: BlossomRec (arXiv 2512.13368); `compressed` is trained as in NSA (arXiv 2502.11089).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.layers.block_summaries import BlockSummaries
from models.layers.sparse_attention import compute_block_importance, mask_visible_blocks, softmax_visible


class Selection(NamedTuple):
    """Importance of each block, and optionally an output of the selector.

    `importance` (B, G, Q, J) is positive for visible blocks and 0 for others; the largest are selected. Its gradient,
    if any, comes from the logits of the selected keys. `output` (B, G, H/G, Q, d) is the selector's own attention over
    all visible blocks, gated like the other branches.
    """

    importance: Tensor
    output: Tensor | None = None


class BlockSelector(nn.Module, ABC):
    branches = 2
    """Number of gates: long term, short term, and one more if the selector has an output."""

    def __init__(self, key_heads: int, head_dim: int, window: int, block: int) -> None:  # noqa: ARG002
        super().__init__()
        self.block = block

    @abstractmethod
    def forward(self, query: Tensor, key: Tensor, value: Tensor, positions: Tensor) -> Selection:
        """Select for `query` (B, G, H/G, Q, d) at `positions` (Q,) or (B, Q) from `key` and `value` (B, G, T, d).

        J = T // block. Queries and keys are already rotated. The selection of a position never depends on later keys.
        """


class StraightThrough(BlockSelector):
    """Selects by learned summaries of the keys, trained by the attention gradient of the selected keys."""

    def __init__(self, key_heads: int, head_dim: int, window: int, block: int) -> None:
        super().__init__(key_heads, head_dim, window, block)
        self.summaries = BlockSummaries(key_heads, head_dim, window, block)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, positions: Tensor) -> Selection:  # noqa: ARG002
        return Selection(compute_block_importance(query, self.summaries(key), positions, self.block))


class Frozen(StraightThrough):
    """As published: the summaries keep their random initialization, because selection has no gradient."""

    def __init__(self, key_heads: int, head_dim: int, window: int, block: int) -> None:
        super().__init__(key_heads, head_dim, window, block)
        self.summaries.requires_grad_(requires_grad=False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, positions: Tensor) -> Selection:
        with torch.no_grad():
            return super().forward(query, key, value, positions)


class Compressed(BlockSelector):
    """Selects by learned summaries, trained by attending to the summaries themselves: NSA's third branch.

    o^cmp = softmax(q K̃^cmp / √d) Ṽ^cmp in NSA's symbols, per head and over visible blocks; 0 without visible blocks.
    As in the other selectors, a group's heads select together by their logits, without a gradient.
    """

    branches = 3

    def __init__(self, key_heads: int, head_dim: int, window: int, block: int) -> None:
        super().__init__(key_heads, head_dim, window, block)
        self.keys = BlockSummaries(key_heads, head_dim, window, block)
        self.values = BlockSummaries(key_heads, head_dim, window, block)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, positions: Tensor) -> Selection:
        keys, values = self.keys(key)[:, :, None], self.values(value)[:, :, None]  # (B, G, 1, J, d)
        logits = (query * query.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
        visible = mask_visible_blocks(positions, keys.shape[-2], self.block)
        output = softmax_visible(logits, visible[..., None, None, :, :]) @ values
        return Selection(softmax_visible(logits.detach().mean(2), visible[..., None, :, :]), output)


class Mean(BlockSelector):
    """Selects by the mean of a block's keys: no weights, and the keys are trained by attention."""

    @torch.no_grad()
    def forward(self, query: Tensor, key: Tensor, value: Tensor, positions: Tensor) -> Selection:  # noqa: ARG002
        count = key.shape[2] // self.block
        blocks = key[:, :, : count * self.block].unflatten(2, (count, self.block))
        return Selection(compute_block_importance(query, blocks.mean(3), positions, self.block))


class Recent(BlockSelector):
    """Selects the newest blocks, independently of their content."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, positions: Tensor) -> Selection:  # noqa: ARG002
        count = key.shape[2] // self.block
        order = torch.arange(1.0, count + 1, device=key.device)
        return Selection(
            _expand_groups(order * mask_visible_blocks(positions, count, self.block)[..., None, :, :], query)
        )


class Random(BlockSelector):
    """Selects by a fixed hash of (group, the query's block, block): repeatable, and independent of other histories."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, positions: Tensor) -> Selection:  # noqa: ARG002
        count = key.shape[2] // self.block
        group = torch.arange(query.shape[1], device=key.device)[:, None, None]
        own = (positions // self.block)[..., None, :, None]
        mixed = _hash(_hash(_hash(group) ^ own) ^ torch.arange(count, device=key.device))
        values = ((mixed >> 8) + 1) * 2.0**-24  # 24 bits: all of them fit a float32
        return Selection(
            _expand_groups(values * mask_visible_blocks(positions, count, self.block)[..., None, :, :], query)
        )


SELECTORS: Mapping[str, type[BlockSelector]] = {
    "straight_through": StraightThrough,
    "compressed": Compressed,
    "mean": Mean,
    "recent": Recent,
    "random": Random,
    "frozen": Frozen,
}


def build_block_selector(name: str, key_heads: int, head_dim: int, window: int, block: int) -> BlockSelector:
    if name not in SELECTORS:
        raise ValueError(f"unknown selector {name!r}; choose from {', '.join(SELECTORS)}")
    return SELECTORS[name](key_heads, head_dim, window, block)


def _expand_groups(importance: Tensor, query: Tensor) -> Tensor:
    """(…, 1 or G, Q, J) → (B, G, Q, J)"""
    batch, groups, _, positions, _ = query.shape
    return importance.expand(batch, groups, positions, importance.shape[-1])


def _hash(number: Tensor) -> Tensor:
    """Hash 32-bit numbers to pseudo-random 32-bit numbers; products stay below 2^63, as int64 requires."""
    for factor in (1_540_483_477, 1_812_433_253):
        number = (number + 1) * factor & 0xFFFF_FFFF
        number = number ^ number >> 15
    return number
