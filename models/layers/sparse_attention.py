"""Masks and softmax of BlossomRec's short-term and long-term attention, in reference form.

Short term: a fixed mask of the newest positions and of power-of-two distances. Long term: for every query the few
earlier blocks whose summaries score highest, and the query's own block. Rules and shapes: arXiv 2512.13368, as its
published code computes them, without that code's defects (models/LOG.md). Blocks are counted from position 0.
"""

import torch
import torch.nn.functional as F
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


def build_long_term_mask(importance: Tensor, positions: Tensor, length: int, block: int, count: int) -> Tensor:
    """(B, G, Q, T) bool: the selected blocks of each query, and the causal part of the query's block."""
    key = torch.arange(length, device=positions.device)
    own = (positions[..., None] // block == key // block) & (key <= positions[..., None])
    keys = select_blocks(importance, count).repeat_interleave(block, dim=-1)
    # The incomplete last block is never selected.
    return F.pad(keys, (0, length - keys.shape[-1])) | own[..., None, :, :]


def attend_in_groups(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, importance: Tensor | None, block: int
) -> Tensor:
    """Attend with `query` (B, G, H/G, Q, d) to `key` and `value` (B, G, T, d) where `mask` is set.

    `mask` is (B, G, Q, T), or (Q, T) where B and G do not matter, which saves a copy per group and history.

    `importance` (B, G, Q, J) of blocks of `block` keys, or None. It changes no value, but a selected key's logit passes
    its gradient to the importance of the key's block. Selection alone would never train the summaries.

    In formulas, p − (p without gradient) is added to the logits of the keys of a block. Here these zeros are further
    features of the query, and a key has a 1 in the feature of its block, so that one fused kernel computes everything.
    """
    batch, groups, heads, _, width = query.shape
    scale = width**-0.5
    if importance is not None and importance.requires_grad:
        blocks, length = importance.shape[-1], key.shape[-2]
        zeros = ((importance - importance.detach()) / scale)[:, :, None].expand(-1, -1, heads, -1, -1)
        query = torch.cat((query, zeros), dim=-1)
        numbers = torch.arange(length, device=key.device)[:, None] // block
        is_in_block = numbers == torch.arange(blocks, device=key.device)
        key = torch.cat((key, is_in_block.to(key).expand(batch, groups, -1, -1)), dim=-1)
        value = F.pad(value, (0, blocks))
    flat = query.flatten(0, 1)
    key, value = (each.flatten(0, 1)[:, None].expand(-1, heads, -1, -1) for each in (key, value))
    flat_mask = mask if mask.ndim == 2 else mask.expand(batch, groups, -1, -1).flatten(0, 1)[:, None]
    mixed = F.scaled_dot_product_attention(flat, key, value, attn_mask=flat_mask, scale=scale)
    out: Tensor = mixed[..., :width].unflatten(0, (batch, groups))
    return out


def attend_to_selected_blocks(
    query: Tensor, key: Tensor, value: Tensor, importance: Tensor, positions: Tensor, block: int, count: int
) -> Tensor:
    """Long-term attention on gathered keys: `query` (B, G, H/G, Q, d), `key` and `value` (B, G, T, d).

    Equals `attend_in_groups` with `build_long_term_mask`, but reads (count + 1) · block keys per query instead of T.
    The bias of a selected block is p − (p without gradient), as described there.
    """
    batch, groups, _, queries, width = query.shape
    best = importance.topk(min(count, importance.shape[-1]), dim=-1)
    own = (positions // block)[..., None, :, None].expand(batch, groups, queries, 1)
    numbers = torch.cat((best.indices, own), dim=-1)  # (B, G, Q, selected blocks and the own one)
    keys, values = (_gather_blocks(each, numbers, block) for each in (key, value))
    bias = (best.values - best.values.detach()).masked_fill(best.values <= 0, -torch.inf)
    steps = torch.arange(block, device=key.device)
    is_past = own * block + steps <= positions[..., None, :, None]
    own_bias = torch.zeros_like(is_past, dtype=bias.dtype).masked_fill(~is_past, -torch.inf)
    biases = torch.cat((bias.repeat_interleave(block, dim=-1), own_bias), dim=-1)
    return _attend_to_own_keys(query * width**-0.5, keys, values, biases)


def attend_to_short_term(query: Tensor, key: Tensor, value: Tensor, positions: Tensor, window: int) -> Tensor:
    """Short-term attention on gathered keys; equals `attend_in_groups` with `build_short_term_mask`."""
    batch, groups, _, queries, width = query.shape
    length = key.shape[-2]
    least, most = (window - 1).bit_length(), (length - 1).bit_length()
    # Created on the device: a CUDA graph cannot capture a copy from the host.
    powers = 2 ** torch.arange(least, max(least, most), device=key.device)
    distances = torch.cat((torch.arange(min(window, length), device=key.device), powers))
    read = positions[..., None] - distances
    is_sink_missing = ~(read == 0).any(-1, keepdim=True)
    is_visible = torch.cat((read >= 0, is_sink_missing), dim=-1)
    read = torch.cat((read.clamp_min(0), torch.zeros_like(read[..., :1])), dim=-1)[..., None, :, :]
    numbers = read.expand(batch, groups, queries, -1)
    keys, values = (_gather_blocks(each, numbers, 1) for each in (key, value))
    biases = torch.zeros_like(is_visible, dtype=key.dtype).masked_fill(~is_visible, -torch.inf)[..., None, :, :]
    return _attend_to_own_keys(query * width**-0.5, keys, values, biases)


def _gather_blocks(keys: Tensor, numbers: Tensor, block: int) -> Tensor:
    """(B, G, T, d) and block numbers (B, G, Q, n) → (B, G, Q, n · block, d); zeros follow after position T."""
    batch, groups, length, width = keys.shape
    blocks = -(-length // block)
    rows = F.pad(keys, (0, 0, 0, blocks * block - length)).reshape(batch * groups * blocks, block * width)
    starts = torch.arange(batch * groups, device=keys.device).view(batch, groups, 1, 1) * blocks
    gathered: Tensor = F.embedding(numbers + starts, rows).unflatten(-1, (block, width)).flatten(3, 4)
    return gathered


def _attend_to_own_keys(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Attend with scaled `query` (B, G, H/G, Q, d) to the keys (B, G, Q, n, d) of each query, with bias (…, Q, n)."""
    logits = query.transpose(2, 3) @ keys.transpose(-1, -2)  # (B, G, Q, H/G, n)
    weights = (logits + bias[..., None, :]).softmax(-1)
    return (weights @ values).transpose(2, 3)
