"""Sparse matrices as arrays: weighted pairs, their sums, and rows of a matrix that can be looked up."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_BLOCK_PAIRS = 4_000_000
"""Pairs that are summed together, about 100 MB."""
DENSE_CELLS_PER_PAIR = 4
"""A dense counter is used up to this many cells per pair; sorting is faster for sparser blocks."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Entries (n,) of a sparse matrix; an entry may occur more than once until the pairs are summed."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    weights: NDArray[np.float64]


def sum_pairs(pairs: Pairs, num_rows: int, num_columns: int) -> Pairs:
    """Sum the weights of equal pairs; the result is sorted by row, then column."""
    keys = pairs.rows * num_columns + pairs.columns
    cells = num_rows * num_columns
    if cells <= DENSE_CELLS_PER_PAIR * len(keys):
        dense: NDArray[np.float64] = np.bincount(keys, pairs.weights, minlength=cells).astype(np.float64, copy=False)
        used = np.flatnonzero(np.bincount(keys, minlength=cells))
        return Pairs(used // num_columns, used % num_columns, dense[used])
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    starts = np.flatnonzero(np.diff(sorted_keys, prepend=-1))
    unique = sorted_keys[starts]
    sums: NDArray[np.float64] = np.add.reduceat(pairs.weights[order], starts) if len(keys) else np.empty(0)
    return Pairs(unique // num_columns, unique % num_columns, sums)


def select_strongest(pairs: Pairs, num_rows: int, k: int) -> Pairs:
    """Keep the k largest weights of each row, ties by column, in falling order; `pairs` are sorted by row."""
    lengths = np.bincount(pairs.rows, minlength=num_rows)
    starts = np.cumsum(lengths) - lengths
    if len(pairs.rows) and (width := int(lengths.max())) > k:
        # Entries below the k-th weight of their row need no sorting.
        matrix = np.full((num_rows, width), -np.inf)
        matrix[pairs.rows, np.arange(len(pairs.rows)) - starts[pairs.rows]] = pairs.weights
        thresholds = np.partition(matrix, width - k, axis=1)[:, width - k]
        is_strong = pairs.weights >= thresholds[pairs.rows]
        pairs = Pairs(pairs.rows[is_strong], pairs.columns[is_strong], pairs.weights[is_strong])
    order = np.lexsort((pairs.columns, -pairs.weights, pairs.rows))
    pairs = Pairs(pairs.rows[order], pairs.columns[order], pairs.weights[order])
    is_top = compute_positions(pairs.rows, num_rows) < k
    return Pairs(pairs.rows[is_top], pairs.columns[is_top], pairs.weights[is_top])


def compute_positions(rows: NDArray[np.int64], num_rows: int) -> NDArray[np.int64]:
    """Number the entries of each row from 0; `rows` are sorted."""
    lengths = np.bincount(rows, minlength=num_rows)
    positions: NDArray[np.int64] = np.arange(len(rows)) - (np.cumsum(lengths) - lengths)[rows]
    return positions


def expand_ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List all positions of ranges: (m,) range numbers and (m,) positions, range by range."""
    numbers = np.repeat(np.arange(len(starts)), lengths)
    offsets = np.cumsum(lengths) - lengths
    return numbers, np.arange(len(numbers)) - offsets[numbers] + starts[numbers]


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A sparse matrix by rows: row r has `columns[offsets[r] : offsets[r + 1]]` and the weights parallel to them."""

    offsets: NDArray[np.int64]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]

    @classmethod
    def from_pairs(cls, blocks: Iterator[Pairs], num_rows: int) -> "SparseRows":
        """Join blocks of pairs that are sorted by row, within and across blocks."""
        rows, columns, weights = [np.empty(0, np.int64)], [np.empty(0, np.int32)], [np.empty(0, np.float32)]
        for block in blocks:
            rows.append(block.rows)
            columns.append(block.columns.astype(np.int32))
            weights.append(block.weights.astype(np.float32))
        lengths = np.bincount(np.concatenate(rows), minlength=num_rows)
        return cls(np.concatenate(([0], np.cumsum(lengths))), np.concatenate(columns), np.concatenate(weights))

    def normalize(self) -> "SparseRows":
        """Scale every row to a sum of one."""
        rows = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        sums = np.bincount(rows, self.weights, minlength=len(self.offsets) - 1)
        return SparseRows(self.offsets, self.columns, (self.weights / sums[rows]).astype(np.float32))

    def look_up(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """List the entries of rows (n,): which of the n, column and weight of each entry."""
        numbers, positions = expand_ranges(self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows])
        return numbers, self.columns[positions].astype(np.int64), self.weights[positions].astype(np.float64)


def iter_item_blocks(
    items: NDArray[np.int64],
    costs: NDArray[np.int64],
    num_items: int,
    expand: Callable[[NDArray[np.int64]], Pairs],
) -> Iterator[Pairs]:
    """Expand events to pairs whose rows are their items, and sum the pairs in blocks of items.

    `costs` (E,) are the pairs of each event; `expand` receives positions of events and returns their pairs.
    """
    order = np.argsort(items, kind="stable")
    starts = np.searchsorted(items[order], np.arange(num_items + 2))
    costs_before = np.concatenate(([0], np.cumsum(costs[order])))[starts]
    first = 0
    while first <= num_items:
        last = int(np.searchsorted(costs_before, costs_before[first] + MAX_BLOCK_PAIRS, side="right")) - 1
        last = min(max(last, first + 1), num_items + 1)
        pairs = expand(order[starts[first] : starts[last]])
        block = sum_pairs(Pairs(pairs.rows - first, pairs.columns, pairs.weights), last - first, num_items + 1)
        yield Pairs(block.rows + first, block.columns, block.weights)
        first = last
