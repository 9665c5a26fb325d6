"""The best items of a catalogue of product codes, by the native library: no score of the others is ever written."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.native.layout import Codes
from models.native.library import Library, aligned
from models.native.queries import Asked, Indices, Mask


class CodesScan:
    """Scans one table of codes. Not for several threads at once."""

    def __init__(
        self,
        library: Library,
        codes: NDArray[np.uint8],
        num_subspaces: int,
        codebook_size: int,
        *,
        are_packed: bool,
        level: int = 0,
    ) -> None:
        """`codes` (num_items + 1, bytes), row 0 the padding: a byte per code, or four in three bytes (packing.py).

        That every code is below `codebook_size` is the caller's word: nothing looks again.
        """
        bytes_per_item = num_subspaces // 4 * 3 if are_packed else num_subspaces
        if codes.shape[1:] != (bytes_per_item,) or (are_packed and (num_subspaces % 4 or codebook_size > 64)):
            raise ValueError(f"{codes.shape[1:]} bytes per item are not {num_subspaces} codes below {codebook_size}")
        self._codes = np.ascontiguousarray(codes)  # read as it lies: no copy of what is contiguous
        self._library, self._level, self._pieces = library, level, num_subspaces * codebook_size
        self._num_items = len(codes) - 1
        self._table = Codes(
            codes=self._codes.ctypes.data,
            num_items=self._num_items,
            num_subspaces=num_subspaces,
            codebook_size=codebook_size,
            code_bytes=bytes_per_item,
            are_packed=are_packed,
        )
        self._work = aligned(library.scan_workspace(self._table, level))

    def find_top_k(
        self,
        products: NDArray[np.float32],
        k: int,
        *,
        excluded: Sequence[Indices] | None = None,
        allow_masks: Sequence[Mask | None] | None = None,
    ) -> tuple[Indices, NDArray[np.float32]]:
        """(B, k) items and scores in falling score, equal ones in catalogue order; 0 and −inf where none is left.

        `products` (B, num_subspaces · codebook_size) are each query by each piece, the pieces of a split together. `excluded` and
        `allow_masks` as in `Asked`.
        """
        asked = Asked(products, k, self._pieces, self._num_items, excluded, allow_masks)
        self._library.scan_codes(self._table, self._level, asked.questions, self._work, asked.scores, asked.items)
        return asked.items, asked.scores
