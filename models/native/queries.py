"""Questions to a native scan, checked and laid out as it reads them, with room for the answers."""

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.native.layout import Questions

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Asked:
    """`items` and `scores` (B, k) are what a scan fills. Holds the arrays that `questions` points into."""

    def __init__(
        self,
        products: NDArray[np.float32],
        k: int,
        pieces: int,
        num_items: int,
        excluded: Sequence[Indices] | None,
        allow_masks: Sequence[Mask | None] | None,
    ) -> None:
        """ValueError for shapes that do not go together.

        `products` (B, pieces) are each query by each piece, `k` goes from 1 to `num_items`. `excluded`: per query, items
        that are not answered, in any order. `allow_masks`: per query, a (num_items + 1,) mask of what may be answered, or
        None for everything.
        """
        count = len(products)
        if products.shape != (count, pieces) or not 1 <= k <= num_items:
            raise ValueError(f"products {products.shape} and k = {k} do not go with {num_items} items")
        masks = [None if mask is None else np.ascontiguousarray(mask) for mask in allow_masks or ()]
        if any(mask is not None and mask.shape != (num_items + 1,) for mask in masks):
            raise ValueError(f"a mask has an entry for each of {num_items + 1} rows")
        addresses = (ctypes.c_void_p * count)(*(None if mask is None else mask.ctypes.data for mask in masks))
        rising = [np.sort(one) for one in excluded or [np.empty(0, dtype=np.int64)] * count]
        starts = np.zeros(count + 1, dtype=np.int64)
        np.cumsum([len(one) for one in rising], out=starts[1:])
        flat = np.concatenate([*rising, np.empty(0, dtype=np.int64)])
        rows = np.ascontiguousarray(products, dtype=np.float32)
        self.items, self.scores = np.empty((count, k), dtype=np.int64), np.empty((count, k), dtype=np.float32)
        self._kept = (masks, addresses, starts, flat, rows)
        self.questions = Questions(
            products=rows.ctypes.data,
            excluded=flat.ctypes.data,
            excluded_starts=starts.ctypes.data,
            allow_masks=ctypes.addressof(addresses) if masks else None,
            count=count,
            k=k,
        )
