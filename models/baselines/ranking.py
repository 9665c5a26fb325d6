"""From summed candidates to the top k of each row: exclusions first, popular items where candidates are few."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.baselines.pairs import Pairs, compute_positions, select_strongest
from models.batch import History


def rank_pairs(
    pairs: Pairs, num_rows: int, num_items: int, k: int, excluded: Sequence[History] | None
) -> NDArray[np.int64]:
    """Rank the candidates of each row by weight and fill up with popular items: (num_rows, k), 0 past the last one.

    `pairs` are summed pairs of a row and an item. Ties are in catalogue order.
    """
    best = select_strongest(_remove_excluded(pairs, num_items, excluded), num_rows, k)
    top = np.zeros((num_rows, k), dtype=np.int64)
    top[best.rows, compute_positions(best.rows, num_rows)] = best.columns
    for row in np.flatnonzero(np.count_nonzero(top, axis=1) < min(k, num_items)).tolist():
        _fill_up(top[row], num_items, None if excluded is None else excluded[row])
    return top


def _remove_excluded(pairs: Pairs, num_items: int, excluded: Sequence[History] | None) -> Pairs:
    if excluded is None:
        return pairs
    rows = np.repeat(np.arange(len(excluded)), [len(items) for items in excluded])
    banned = np.unique(rows * (num_items + 1) + np.concatenate([np.empty(0, dtype=np.int64), *excluded]))
    keys = pairs.rows * (num_items + 1) + pairs.columns
    positions = np.searchsorted(keys, banned)  # summed pairs are sorted
    is_inside = positions < len(keys)
    positions = positions[is_inside]
    is_allowed = np.ones(len(keys), dtype=bool)
    is_allowed[positions[keys[positions] == banned[is_inside]]] = False
    return Pairs(pairs.rows[is_allowed], pairs.columns[is_allowed], pairs.weights[is_allowed])


def _fill_up(top: NDArray[np.int64], num_items: int, excluded: History | None) -> None:
    """Replace the zeros at the end of a ranking, in place, by the most popular items that are not in it."""
    count = int(np.count_nonzero(top))
    used = top[:count] if excluded is None else np.concatenate((top[:count], excluded))
    is_free = np.ones(min(num_items, len(top) + len(used)) + 1, dtype=bool)
    is_free[0] = False
    is_free[used[used < len(is_free)]] = False
    items = np.flatnonzero(is_free)[: len(top) - count]
    top[count : count + len(items)] = items
