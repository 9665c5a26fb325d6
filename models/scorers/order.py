"""The largest of a row in a fixed order: torch.topk leaves open which of several equals it takes, and where they stand.

With equal values in rising column, an answer repeats across batch sizes, machines and ways of scoring.
"""

import torch
from torch import Tensor


def top_in_order(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(B, k) values and columns of (B, C), equal values by rising column; k ≤ C."""
    # One more than asked for tells whether an equal of the last one was left out.
    found, columns = scores.topk(min(k + 1, scores.shape[1]))
    last = found[:, k - 1]
    is_tied = (found[:, -1] == last) & (last > -torch.inf) if found.shape[1] > k else last.new_zeros(len(last))
    columns, by_column = columns[:, :k].sort(dim=-1)
    values, by_value = found[:, :k].gather(-1, by_column).sort(dim=-1, descending=True, stable=True)
    columns = columns.gather(-1, by_value)
    for row in is_tied.nonzero().flatten().tolist():
        ordered = scores[row].sort(descending=True, stable=True)
        values[row], columns[row] = ordered.values[:k], ordered.indices[:k]
    return values, columns
