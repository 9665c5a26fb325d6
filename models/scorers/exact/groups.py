"""Neighbouring items in groups: the score of every item of some groups, and the best among them in catalogue order.

And why a few groups are enough. Take the k groups with the largest maxima, of equals those that come first: they hold
k items that score at least the least of these maxima. An item elsewhere scores at most its own group's maximum, which
is less, or equal and comes later. So the k best items, in order, are among the groups taken.
"""

import torch
from torch import Tensor

from models.batch import PADDING
from models.scorers.base import TopK
from models.scorers.filter import ItemFilter
from models.scorers.order import top_in_order
from models.scorers.vectors import ItemVectors


def group_scores(
    vectors: ItemVectors, query: Tensor, rows: Tensor, groups: Tensor, size: int, item_filter: ItemFilter
) -> Tensor:
    """(P, size): line p has the scores of row `rows[p]` of `query` (B, width) for the items of group `groups[p]`.

    −inf for what may not be answered. No pair of row and group may come twice.
    """
    items = groups[:, None] * size + torch.arange(size, device=groups.device)
    table = vectors.rows(items.flatten().clamp_max(vectors.num_items))
    found = torch.bmm(table.view(len(rows), size, -1), query[rows, :, None]).squeeze(-1)
    item_filter.mask_blocks(found, rows, groups)
    return found


def best_of_groups(scores: Tensor, groups: Tensor, k: int) -> TopK:
    """The k best of (B, G, size) scores; row b has those of the groups `groups[b]` (B, G), in any order."""
    groups, order = groups.sort(dim=-1)
    size = scores.shape[-1]
    in_order = scores.gather(1, order[..., None].expand(-1, -1, size)).flatten(1)
    values, columns = top_in_order(in_order, k)
    indices = groups.gather(-1, columns // size) * size + columns % size
    return TopK(indices.masked_fill(values == -torch.inf, PADDING), values)


def best_by_maxima(
    vectors: ItemVectors, query: Tensor, maxima: Tensor, size: int, k: int, item_filter: ItemFilter
) -> TopK:
    """The k best items, k ≤ num_items, given the largest eligible score of each group, (B, groups), −inf for none."""
    _, groups = top_in_order(maxima, min(k, maxima.shape[1]))
    rows = torch.arange(len(query), device=query.device).repeat_interleave(groups.shape[1])
    scores = group_scores(vectors, query, rows, groups.flatten(), size, item_filter)
    return best_of_groups(scores.view(*groups.shape, size), groups, k)
