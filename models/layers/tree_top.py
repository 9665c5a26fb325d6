"""The N best items of a tree softmax without opening every tail, and still exactly the N best.

CpRec (arXiv 2004.13139), section on the softmax layer, stops early where the first level already answers. No item of a
tail is more probable than the tail's token, so tail j can only matter if its token is more probable than the N-th best
item found so far. To compare tokens with that item, and not with the other tokens and items of the first level, is
what makes the answer exact: with N = 1, tokens at 0.40 and 0.35 and an item at 0.25, the second tail may hold the best.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.layers.tree_softmax import TreeSoftmax


@dataclass(frozen=True, slots=True)
class BestItems:
    """`indices` (B, N) of items, counted from 1, `log_probabilities` (B, N) falling, `tails_searched` (B,) tails looked into.

    Equal items stand by rising index; which of several equals is the N-th is left open.
    """

    indices: Tensor
    log_probabilities: Tensor
    tails_searched: Tensor


@torch.inference_mode()
def find_best_items(tree: TreeSoftmax, hidden: Tensor, count: int) -> BestItems:
    """(B, dim) → the `count` most probable items of each row; all items where `count` is more than there are."""
    count = min(count, tree.num_items)
    items, tokens = tree.compute_first_level(hidden)
    rows = len(hidden)
    values = items.new_full((rows, count), -torch.inf)
    indices = torch.zeros(rows, count, dtype=torch.int64, device=hidden.device)
    tails_searched = torch.zeros(rows, dtype=torch.int64, device=hidden.device)
    everyone = torch.arange(rows, device=hidden.device)
    _merge(values, indices, everyone, items, first_index=1)
    # Rows visit their tails in falling order of the tokens: once a row leaves a tail shut, it leaves the others too.
    order = tokens.argsort(dim=-1, descending=True, stable=True)
    for turn in order.unbind(-1):
        token = tokens.gather(-1, turn[:, None]).squeeze(-1)
        wanted = token > values[:, -1]
        if not wanted.any():
            break
        tails_searched += wanted
        for tail in range(tokens.shape[-1]):
            chosen = (wanted & (turn == tail)).nonzero().squeeze(-1)
            if len(chosen):
                inside = token[chosen, None] + tree.compute_tail(hidden[chosen], tail)
                _merge(values, indices, chosen, inside, first_index=tree.ends[tail] + 1)
    return BestItems(indices, values, tails_searched)


def _merge(values: Tensor, indices: Tensor, rows: Tensor, found: Tensor, first_index: int) -> None:
    """Put the best of `found` (R, size) into the lists of `rows` (R,), by falling value, equals by rising index."""
    count = values.shape[-1]
    best = found.topk(min(count, found.shape[-1]), dim=-1)
    both = torch.cat((values[rows], best.values), dim=-1)
    names, by_name = torch.cat((indices[rows], best.indices + first_index), dim=-1).sort(dim=-1)
    both, by_value = both.gather(-1, by_name).sort(dim=-1, descending=True, stable=True)
    values[rows] = both[:, :count]
    indices[rows] = names.gather(-1, by_value)[:, :count]
