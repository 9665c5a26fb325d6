"""Exact top N items of a tree softmax without computing every tail.

CpRec (arXiv 2004.13139), section on the softmax layer, stops early if the first level already decides. No item of a
tail is more probable than the tail's token, so tail j can only matter if its token is more probable than the current
N-th best item. Comparing tokens with that item, rather than with other tokens and items of the first level, makes the
result exact: with N = 1, tokens at 0.40 and 0.35 and an item at 0.25, the second tail may contain the best item.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.layers.tree_softmax import TreeSoftmax


@dataclass(frozen=True, slots=True)
class BestItems:
    """Top items per row: `indices` (B, N) counted from 1, descending `log_probabilities` (B, N), `tails_searched` (B,).

    Ties are ordered by ascending index; which of several tied items is the N-th is not defined.
    """

    indices: Tensor
    log_probabilities: Tensor
    tails_searched: Tensor


@torch.inference_mode()
def find_best_items(tree: TreeSoftmax, hidden: Tensor, count: int) -> BestItems:
    """(B, dim) → the `count` most probable items of each row, or all items if there are fewer."""
    count = min(count, tree.num_items)
    items, tokens = tree.compute_first_level(hidden)
    rows = len(hidden)
    values = items.new_full((rows, count), -torch.inf)
    indices = torch.zeros(rows, count, dtype=torch.int64, device=hidden.device)
    tails_searched = torch.zeros(rows, dtype=torch.int64, device=hidden.device)
    all_rows = torch.arange(rows, device=hidden.device)
    _merge(values, indices, all_rows, items, first_index=1)
    # Rows visit their tails by descending token, so a row that skips a tail also skips all later ones.
    order = tokens.argsort(dim=-1, descending=True, stable=True)
    for tails in order.unbind(-1):
        token = tokens.gather(-1, tails[:, None]).squeeze(-1)
        is_needed = token > values[:, -1]
        if not is_needed.any():
            break
        tails_searched += is_needed
        for tail in range(tokens.shape[-1]):
            selected = (is_needed & (tails == tail)).nonzero().squeeze(-1)
            if len(selected):
                tail_values = token[selected, None] + tree.compute_tail(hidden[selected], tail)
                _merge(values, indices, selected, tail_values, first_index=tree.ends[tail] + 1)
    return BestItems(indices, values, tails_searched)


def _merge(values: Tensor, indices: Tensor, rows: Tensor, candidates: Tensor, first_index: int) -> None:
    """Merge the best of `candidates` (R, size) into the lists of `rows` (R,): by descending value, ties by index."""
    count = values.shape[-1]
    best = candidates.topk(min(count, candidates.shape[-1]), dim=-1)
    merged = torch.cat((values[rows], best.values), dim=-1)
    merged_indices, index_order = torch.cat((indices[rows], best.indices + first_index), dim=-1).sort(dim=-1)
    merged, value_order = merged.gather(-1, index_order).sort(dim=-1, descending=True, stable=True)
    values[rows] = merged[:, :count]
    indices[rows] = merged_indices.gather(-1, value_order)[:, :count]
