"""Deterministic top k: torch.topk does not define which of several ties it returns, nor their order.

With ties ordered by column, an answer is the same for every batch size, machine and scorer.
"""

import torch
from torch import Tensor


def select_top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return (B, k) values and columns of (B, C) scores, ties by ascending column; k ≤ C."""
    # One value more than k shows whether a tie of the last one was left out.
    top_values, columns = scores.topk(min(k + 1, scores.shape[1]))
    last = top_values[:, k - 1]
    is_cut = (top_values[:, -1] == last) & (last > -torch.inf) if top_values.shape[1] > k else last.new_zeros(len(last))
    columns, by_column = columns[:, :k].sort(dim=-1)
    values, by_value = top_values[:, :k].gather(-1, by_column).sort(dim=-1, descending=True, stable=True)
    columns = columns.gather(-1, by_value)
    for row in is_cut.nonzero().flatten().tolist():
        ordered = scores[row].sort(descending=True, stable=True)
        values[row], columns[row] = ordered.values[:k], ordered.indices[:k]
    return values, columns
