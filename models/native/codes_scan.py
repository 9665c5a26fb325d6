"""The best items of a catalogue of product codes, by the native library: no score of the others is ever written."""

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.native.layout import Codes, Questions
from models.native.library import Library, aligned

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


class CodesScan:
    """Scans one table of codes. Not for several threads at once."""

    def __init__(
        self,
        library: Library,
        codes: NDArray[np.uint8],
        splits: int,
        codebook: int,
        *,
        are_packed: bool,
        level: int = 0,
    ) -> None:
        """`codes` (num_items + 1, bytes), row 0 the padding: a byte per code, or four in three bytes (packing.py).

        That every code is below `codebook` is the caller's word: nothing looks again.
        """
        bytes_per_item = splits // 4 * 3 if are_packed else splits
        if codes.shape[1:] != (bytes_per_item,) or (are_packed and (splits % 4 or codebook > 64)):
            raise ValueError(f"{codes.shape[1:]} bytes per item are not {splits} codes below {codebook}")
        self._codes = np.ascontiguousarray(codes)  # read as it lies: no copy of what is contiguous
        self._library, self._level, self._pieces = library, level, splits * codebook
        self._num_items = len(codes) - 1
        self._table = Codes(
            codes=self._codes.ctypes.data,
            num_items=self._num_items,
            splits=splits,
            codebook=codebook,
            code_bytes=bytes_per_item,
            are_packed=are_packed,
        )
        self._work = aligned(library.scan_workspace(self._table, level))

    def best(
        self,
        products: NDArray[np.float32],
        k: int,
        *,
        denied: Sequence[Indices] | None = None,
        allowed: Sequence[Mask | None] | None = None,
    ) -> tuple[Indices, NDArray[np.float32]]:
        """(B, k) items and scores in falling score, equal ones in catalogue order; 0 and −inf where none is left.

        Args:
            products: (B, splits · codebook), each query by each piece, the pieces of a split together.
            k: from 1 to the number of items.
            denied: per query, items that are not answered, in any order.
            allowed: per query, a (num_items + 1,) mask of what may be answered, or None for everything.

        """
        count = len(products)
        if products.shape != (count, self._pieces) or not 1 <= k <= self._num_items:
            raise ValueError(f"products {products.shape} and k = {k} do not go with {self._num_items} items")
        masks = [None if mask is None else np.ascontiguousarray(mask) for mask in allowed or ()]
        if any(mask is not None and mask.shape != (self._num_items + 1,) for mask in masks):
            raise ValueError(f"a mask has an entry for each of {self._num_items + 1} rows")
        addresses = (ctypes.c_void_p * count)(*(None if mask is None else mask.ctypes.data for mask in masks))
        rising = [np.sort(one) for one in denied or [np.empty(0, dtype=np.int64)] * count]
        starts = np.zeros(count + 1, dtype=np.int64)
        np.cumsum([len(one) for one in rising], out=starts[1:])
        flat = np.concatenate([*rising, np.empty(0, dtype=np.int64)])
        rows = np.ascontiguousarray(products, dtype=np.float32)
        asked = Questions(
            products=rows.ctypes.data,
            denied=flat.ctypes.data,
            denied_starts=starts.ctypes.data,
            allowed=ctypes.addressof(addresses) if masks else None,
            count=count,
            k=k,
        )
        items, scores = np.empty((count, k), dtype=np.int64), np.empty((count, k), dtype=np.float32)
        self._library.scan_codes(self._table, self._level, asked, self._work, scores, items)
        return items, scores
