"""One batch of queries for a native scan: validated, in the library's layout, with buffers for the results."""

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.native.layout import Queries

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


class ScanRequest:
    """Holds the arrays that `queries` points into; a scan fills `items` and `scores` (B, k)."""

    def __init__(
        self,
        lookup_tables: NDArray[np.float32],
        k: int,
        table_size: int,
        num_items: int,
        excluded: Sequence[Indices] | None,
        allow_masks: Sequence[Mask | None] | None,
    ) -> None:
        """Raise ValueError for inconsistent shapes.

        `lookup_tables` (B, table_size): product of each query with each centroid; 1 ≤ k ≤ `num_items`. `excluded`: per
        query, filtered items in any order. `allow_masks`: per query, a (num_items + 1,) mask of allowed items, or None
        to allow all.
        """
        count = len(lookup_tables)
        if lookup_tables.shape != (count, table_size) or not 1 <= k <= num_items:
            raise ValueError(f"lookup tables {lookup_tables.shape} and k = {k} do not fit {num_items} items")
        tables = np.ascontiguousarray(lookup_tables, dtype=np.float32)
        masks, mask_addresses = lay_out_masks(allow_masks, count, num_items)
        excluded_items, excluded_starts = concatenate_sorted(excluded, count)
        self.items, self.scores = np.empty((count, k), dtype=np.int64), np.empty((count, k), dtype=np.float32)
        self._owned_arrays = (tables, masks, mask_addresses, excluded_items, excluded_starts)
        self.queries = Queries(
            lookup_tables=tables.ctypes.data,
            excluded=excluded_items.ctypes.data,
            excluded_starts=excluded_starts.ctypes.data,
            allow_masks=ctypes.addressof(mask_addresses) if masks else None,
            count=count,
            k=k,
        )


def lay_out_masks(
    allow_masks: Sequence[Mask | None] | None, count: int, num_items: int
) -> tuple[list[Mask | None], ctypes.Array[ctypes.c_void_p]]:
    """Return contiguous masks and their addresses, null where all items are allowed."""
    masks: list[Mask | None] = []
    addresses: list[int | None] = []
    for mask in allow_masks or ():
        if mask is None:
            masks.append(None)
            addresses.append(None)
        elif masks and mask is masks[-1]:  # most rows of a batch share one
            masks.append(mask)
            addresses.append(addresses[-1])
        else:
            if mask.shape != (num_items + 1,):
                raise ValueError(f"an allow mask must have shape ({num_items + 1},)")
            contiguous = np.ascontiguousarray(mask)
            masks.append(contiguous)
            addresses.append(contiguous.ctypes.data)
    return masks, (ctypes.c_void_p * count)(*addresses)


def concatenate_sorted(excluded: Sequence[Indices] | None, count: int) -> tuple[Indices, Indices]:
    """Return the excluded items of all queries, sorted within each, and where each query's begin (count + 1,)."""
    nothing = np.empty(0, dtype=np.int64)
    rising = [np.sort(indices) for indices in excluded or [nothing] * count]
    starts = np.zeros(count + 1, dtype=np.int64)
    np.cumsum([len(indices) for indices in rising], out=starts[1:])
    return np.concatenate([*rising, nothing]), starts
