"""Masks and softmax of BlossomRec's short-term and long-term attention, in reference form.

Short term: a fixed mask of the newest positions and of power-of-two distances. Long term: for every query the few
earlier blocks whose summaries score highest, and the query's own block. Rules and shapes: arXiv 2512.13368, as its
published code computes them, without that code's defects (models/LOG.md). Blocks are counted from position 0.
"""

import torch
from torch import Tensor


def build_short_term_mask(positions: Tensor, length: int, window: int) -> Tensor:
    """(…, Q, T) bool for queries at `positions` (…, Q): distances below `window`, powers of two, and key 0 (sink)."""
    key = torch.arange(length, device=positions.device)
    distance = positions[..., None] - key
    power_of_two = (distance > 0) & ((distance & (distance - 1)) == 0)
    return (distance >= 0) & ((distance < window) | power_of_two | (key == 0))


def mask_visible_blocks(positions: Tensor, count: int, block: int) -> Tensor:
    """(…, Q, J) bool: a query may select block j if the block ends before the query, so never its own block."""
    ends = (torch.arange(count, device=positions.device) + 1) * block - 1
    return ends < positions[..., None]


def compute_block_importance(query: Tensor, summaries: Tensor, positions: Tensor, block: int) -> Tensor:
    """Softmax over the visible blocks for each group of query heads; 0 for blocks that are not visible.

    `query` (B, G, H/G, Q, d), `summaries` (B, G, J, d), `positions` (Q,) or (B, Q) → (B, G, Q, J). The logits of the
    heads of a group are averaged, so the group selects together. Rows without a visible block are all 0.
    """
    logits = torch.einsum("bghqd,bgjd->bgqj", query, summaries) * (query.shape[-1] ** -0.5 / query.shape[2])
    return softmax_visible(logits, mask_visible_blocks(positions, summaries.shape[-2], block)[..., None, :, :])


def softmax_visible(logits: Tensor, visible: Tensor) -> Tensor:
    """(…, Q, J) softmax over visible entries; 0 for the others, so a row without visible entries sums to 0."""
    shares: Tensor = logits.masked_fill(~visible, torch.finfo(logits.dtype).min).softmax(-1)
    return shares.masked_fill(~visible, 0.0)


def select_blocks(importance: Tensor, count: int) -> Tensor:
    """(B, G, Q, J) bool: the `count` most important blocks of each query, fewer where fewer are visible."""
    selected = torch.zeros_like(importance, dtype=torch.bool)
    best = importance.topk(min(count, importance.shape[-1]), dim=-1)
    return selected.scatter_(-1, best.indices, best.values > 0)


def build_long_term_bias(importance: Tensor, positions: Tensor, length: int, block: int, count: int) -> Tensor:
    """(B, G, Q, T) to add to attention logits: −inf outside the selected blocks and the causal part of the own block.

    Inside a selected block the bias is p − (p without gradient): zero in value, but the gradient of the logits of the
    block's keys also reaches the block's importance, if that requires one. Selection alone would never train the
    summaries.
    """
    selected = select_blocks(importance, count)
    key = torch.arange(length, device=positions.device)
    own = (positions[..., None] // block == key // block) & (key <= positions[..., None])
    straight_through = (importance - importance.detach()).masked_fill(~selected, -torch.inf)
    keys = straight_through.repeat_interleave(block, dim=-1)
    tail = keys.new_full((*keys.shape[:-1], length - keys.shape[-1]), -torch.inf)  # the incomplete last block
    return torch.cat((keys, tail), dim=-1).masked_fill(own[..., None, :, :], 0.0)
