"""Which earlier blocks a query of BlossomRec's long-term attention gets to see: one class per answer.

Some learn nothing and are there to measure the others: if the newest or random blocks do as well, choosing is not what
helps. Rules: BlossomRec (arXiv 2512.13368); `compressed` is how NSA (arXiv 2502.11089) trains its choice.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.layers.block_summaries import BlockSummaries
from models.layers.sparse_attention import compute_block_importance, mask_visible_blocks, softmax_visible


class Selection(NamedTuple):
    """`importance` (B, G, Q, J): above 0 for visible blocks, 0 for others; the largest are chosen.

    Its gradient, where it has one, comes from the logits of the chosen keys. `output` (B, G, H/G, Q, d) is what the
    selector read from all visible blocks itself, to be gated like the other branches.
    """

    importance: Tensor
    output: Tensor | None = None


class BlockSelector(nn.Module, ABC):
    branches = 2
    """Gates that the attention needs: long term, short term, and the selector's own output where it has one."""

    def __init__(self, key_heads: int, head_dim: int, window: int, block: int) -> None:  # noqa: ARG002
        super().__init__()
        self.block = block

    @abstractmethod
    def forward(self, query: Tensor, key: Tensor, value: Tensor, places: Tensor) -> Selection:
        """`query` (B, G, H/G, Q, d) at `places` (Q,) or (B, Q), `key` and `value` (B, G, T, d); J = T // block.

        Queries and keys are rotated already. A selection for a place never depends on keys behind that place.
        """


class StraightThrough(BlockSelector):
    """By learned summaries of the keys, which learn from how much attention the chosen keys should have had."""

    def __init__(self, key_heads: int, head_dim: int, window: int, block: int) -> None:
        super().__init__(key_heads, head_dim, window, block)
        self.summaries = BlockSummaries(key_heads, head_dim, window, block)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, places: Tensor) -> Selection:  # noqa: ARG002
        return Selection(compute_block_importance(query, self.summaries(key), places, self.block))


class Frozen(StraightThrough):
    """As published: the summaries are drawn at the start and stay, as the choice passes no gradient on."""

    def __init__(self, key_heads: int, head_dim: int, window: int, block: int) -> None:
        super().__init__(key_heads, head_dim, window, block)
        self.summaries.requires_grad_(requires_grad=False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, places: Tensor) -> Selection:
        with torch.no_grad():
            return super().forward(query, key, value, places)


class Compressed(BlockSelector):
    """By learned summaries that are attended to themselves, NSA's third branch: that is what trains them.

    o^cmp = softmax(q K̃^cmp / √d) Ṽ^cmp in NSA's symbols, per head and over visible blocks; 0 where there is none. The
    choice stays that of the other selectors, by the logits of a group's heads together, and passes no gradient.
    """

    branches = 3

    def __init__(self, key_heads: int, head_dim: int, window: int, block: int) -> None:
        super().__init__(key_heads, head_dim, window, block)
        self.keys = BlockSummaries(key_heads, head_dim, window, block)
        self.values = BlockSummaries(key_heads, head_dim, window, block)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, places: Tensor) -> Selection:
        keys, values = self.keys(key)[:, :, None], self.values(value)[:, :, None]  # (B, G, 1, J, d)
        logits = (query * query.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
        visible = mask_visible_blocks(places, keys.shape[-2], self.block)
        output = softmax_visible(logits, visible[..., None, None, :, :]) @ values
        return Selection(softmax_visible(logits.detach().mean(2), visible[..., None, :, :]), output)


class Mean(BlockSelector):
    """By the mean of a block's own keys: no weights of its own, and the keys learn from being attended to."""

    @torch.no_grad()
    def forward(self, query: Tensor, key: Tensor, value: Tensor, places: Tensor) -> Selection:  # noqa: ARG002
        count = key.shape[2] // self.block
        blocks = key[:, :, : count * self.block].unflatten(2, (count, self.block))
        return Selection(compute_block_importance(query, blocks.mean(3), places, self.block))


class Recent(BlockSelector):
    """The newest blocks, whatever is in them."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, places: Tensor) -> Selection:  # noqa: ARG002
        count = key.shape[2] // self.block
        order = torch.arange(1.0, count + 1, device=key.device)
        return Selection(
            _for_every_head(order * mask_visible_blocks(places, count, self.block)[..., None, :, :], query)
        )


class Random(BlockSelector):
    """Blocks by a fixed hash of (group, the query's block, block): an answer repeats and depends on nobody else."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, places: Tensor) -> Selection:  # noqa: ARG002
        count = key.shape[2] // self.block
        group = torch.arange(query.shape[1], device=key.device)[:, None, None]
        own = (places // self.block)[..., None, :, None]
        mixed = _hash(_hash(_hash(group) ^ own) ^ torch.arange(count, device=key.device))
        luck = ((mixed >> 8) + 1) * 2.0**-24  # 24 bits: all of them fit a float32
        return Selection(_for_every_head(luck * mask_visible_blocks(places, count, self.block)[..., None, :, :], query))


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
        raise ValueError(f"no selector is called {name!r}; there are {', '.join(SELECTORS)}")
    return SELECTORS[name](key_heads, head_dim, window, block)


def _for_every_head(importance: Tensor, query: Tensor) -> Tensor:
    """(…, 1 or G, Q, J) → (B, G, Q, J)"""
    batch, groups, _, places, _ = query.shape
    return importance.expand(batch, groups, places, importance.shape[-1])


def _hash(number: Tensor) -> Tensor:
    """Numbers of 32 bits to numbers of 32 bits that look drawn; products stay below 2^63, as int64 needs."""
    for factor in (1_540_483_477, 1_812_433_253):
        number = (number + 1) * factor & 0xFFFF_FFFF
        number = number ^ number >> 15
    return number
