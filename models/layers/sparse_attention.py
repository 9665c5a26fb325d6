"""What BlossomRec's two attentions may look at, and one softmax over it: the reference form.

Short term: a fixed mask, a window of the newest positions and power-of-two distances behind it. Long term: for every
query the few earlier blocks whose summaries score best, and its own block. Rules and shapes: arXiv 2512.13368, read
as its published code computes them, without that code's defects (models/LOG.md). Blocks count from position 0.
"""

import torch
from torch import Tensor


def build_short_term_mask(places: Tensor, length: int, window: int) -> Tensor:
    """(…, Q, T) bool for queries at `places` (…, Q): distances below `window`, powers of two, and key 0, the sink."""
    key = torch.arange(length, device=places.device)
    distance = places[..., None] - key
    power_of_two = (distance > 0) & ((distance & (distance - 1)) == 0)
    return (distance >= 0) & ((distance < window) | power_of_two | (key == 0))


def mask_visible_blocks(places: Tensor, count: int, block: int) -> Tensor:
    """(…, Q, J) bool: block j may be chosen by a query once it ended before it, so never the query's own block."""
    ends = (torch.arange(count, device=places.device) + 1) * block - 1
    return ends < places[..., None]


def compute_block_importance(query: Tensor, summaries: Tensor, places: Tensor, block: int) -> Tensor:
    """How much each query head group wants each visible block: a softmax, 0 for blocks that it may not see.

    `query` (B, G, H/G, Q, d), `summaries` (B, G, J, d), `places` (Q,) or (B, Q) → (B, G, Q, J). The logits of the
    heads of a group are averaged, so the group chooses together. Rows that see no block are all 0.
    """
    logits = torch.einsum("bghqd,bgjd->bgqj", query, summaries) * (query.shape[-1] ** -0.5 / query.shape[2])
    return softmax_visible(logits, mask_visible_blocks(places, summaries.shape[-2], block)[..., None, :, :])


def softmax_visible(logits: Tensor, visible: Tensor) -> Tensor:
    """(…, Q, J) softmax over what is visible; 0 for the rest, so a row that sees nothing sums to 0 and not to 1."""
    shares: Tensor = logits.masked_fill(~visible, torch.finfo(logits.dtype).min).softmax(-1)
    return shares.masked_fill(~visible, 0.0)


def select_blocks(importance: Tensor, count: int) -> Tensor:
    """(B, G, Q, J) bool: the `count` most important blocks of each query, fewer where fewer are visible."""
    chosen = torch.zeros_like(importance, dtype=torch.bool)
    best = importance.topk(min(count, importance.shape[-1]), dim=-1)
    return chosen.scatter_(-1, best.indices, best.values > 0)


def build_long_term_bias(importance: Tensor, places: Tensor, length: int, block: int, count: int) -> Tensor:
    """(B, G, Q, T) to add to attention logits: −inf outside the chosen blocks and the causal part of the own block.

    Inside a chosen block the bias is p − (p without gradient): zero in value, but the gradient that reaches the
    logits of a block's keys reaches the block's importance too, if that wants one. Choosing alone would never train
    the summaries.
    """
    chosen = select_blocks(importance, count)
    key = torch.arange(length, device=places.device)
    own = (places[..., None] // block == key // block) & (key <= places[..., None])
    straight_through = (importance - importance.detach()).masked_fill(~chosen, -torch.inf)
    keys = straight_through.repeat_interleave(block, dim=-1)
    tail = keys.new_full((*keys.shape[:-1], length - keys.shape[-1]), -torch.inf)  # the last block is not complete
    return torch.cat((keys, tail), dim=-1).masked_fill(own[..., None, :, :], 0.0)
