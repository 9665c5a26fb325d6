"""What BlossomRec's two attentions may look at, and one softmax over it: the reference form.

Short term: a fixed mask, a window of the newest positions and power-of-two distances behind it. Long term: for every
query the few earlier blocks whose summaries score best, and its own block. Rules and shapes: arXiv 2512.13368, read
as its published code computes them, without that code's defects (models/LOG.md). Blocks count from position 0.
"""

import torch
from torch import Tensor


def short_term_mask(length: int, window: int, device: torch.device) -> Tensor:
    """(T, T) bool, query by key: distances 0 to window − 1, powers of two, and key 0, the sink; never the future."""
    position = torch.arange(length, device=device)
    distance = position[:, None] - position
    power_of_two = (distance > 0) & ((distance & (distance - 1)) == 0)
    return (distance >= 0) & ((distance < window) | power_of_two | (position == 0))


def visible_blocks(length: int, block: int, device: torch.device) -> Tensor:
    """(T, T // block) bool: block j may be chosen by query t once it ended before t, so never t's own block."""
    ends = (torch.arange(length // block, device=device) + 1) * block - 1
    return ends < torch.arange(length, device=device)[:, None]


def block_importance(query: Tensor, summaries: Tensor, block: int) -> Tensor:
    """How much each query head group wants each visible block: a softmax, 0 for blocks that it may not see.

    `query` (B, G, H/G, T, d), `summaries` (B, G, T // block, d) → (B, G, T, T // block). The logits of the heads
    of a group are averaged, so the group chooses together. Rows that see no block are all 0.
    """
    logits = torch.einsum("bghtd,bgjd->bgtj", query, summaries) * (query.shape[-1] ** -0.5 / query.shape[2])
    visible = visible_blocks(query.shape[-2], block, query.device)
    shares: Tensor = logits.masked_fill(~visible, torch.finfo(logits.dtype).min).softmax(-1)
    return shares.masked_fill(~visible, 0.0)


def chosen_blocks(importance: Tensor, count: int) -> Tensor:
    """(B, G, T, J) bool: the `count` most important blocks of each query, fewer where fewer are visible."""
    chosen = torch.zeros_like(importance, dtype=torch.bool)
    best = importance.topk(min(count, importance.shape[-1]), dim=-1)
    return chosen.scatter_(-1, best.indices, best.values > 0)


def long_term_bias(importance: Tensor, count: int, block: int, length: int) -> Tensor:
    """(B, G, T, T) to add to attention logits: −inf outside the chosen blocks and the causal part of the own block.

    Inside a chosen block the bias is p − (p without gradient): zero in value, but the gradient that reaches the
    logits of a block's keys reaches the block's importance too. Choosing alone would never train the summaries.
    """
    chosen = chosen_blocks(importance, count)
    position = torch.arange(length, device=importance.device)
    own = (position[:, None] // block == position // block) & (position <= position[:, None])
    straight_through = (importance - importance.detach()).masked_fill(~chosen, -torch.inf)
    keys = straight_through.repeat_interleave(block, dim=-1)
    tail = keys.new_full((*keys.shape[:-1], length - keys.shape[-1]), -torch.inf)  # the last block is not complete
    return torch.cat((keys, tail), dim=-1).masked_fill(own, 0.0)
