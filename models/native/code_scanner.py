"""Scans product-quantization codes in native code, item by item; only the top k is ever written."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.native.layout import Codes
from models.native.library import Library, allocate_aligned
from models.native.scan_request import Indices, Mask, ScanRequest


class CodeScanner:
    """Scans one table of codes. Not thread-safe."""

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
        """Raise ValueError for a wrong number of bytes per item.

        `codes` (num_items + 1, bytes), row 0 for padding: a byte per code, or four codes in three bytes (packing.py).
        The caller guarantees that every code is below `codebook_size`; codes are not checked.
        """
        bytes_per_item = num_subspaces // 4 * 3 if are_packed else num_subspaces
        if codes.shape[1:] != (bytes_per_item,) or (are_packed and (num_subspaces % 4 or codebook_size > 64)):
            raise ValueError(f"{codes.shape[1:]} bytes per item are not {num_subspaces} codes below {codebook_size}")
        self._codes = np.ascontiguousarray(codes)  # does not copy a contiguous table
        self._library, self._level, self._table_size = library, level, num_subspaces * codebook_size
        self._num_items = len(codes) - 1
        self._table = Codes(
            codes=self._codes.ctypes.data,
            num_items=self._num_items,
            num_subspaces=num_subspaces,
            codebook_size=codebook_size,
            code_bytes=bytes_per_item,
            are_packed=are_packed,
        )
        self._workspace = allocate_aligned(library.get_codes_workspace(self._table, level))

    def find_top_k(
        self,
        lookup_tables: NDArray[np.float32],
        k: int,
        *,
        excluded: Sequence[Indices] | None = None,
        allow_masks: Sequence[Mask | None] | None = None,
    ) -> tuple[Indices, NDArray[np.float32]]:
        """Return (B, k) items and scores, ties in catalogue order; 0 and −inf past the last eligible item.

        `lookup_tables` (B, num_subspaces · codebook_size): product of each query with each centroid. Filters as in
        `ScanRequest`.
        """
        request = ScanRequest(lookup_tables, k, self._table_size, self._num_items, excluded, allow_masks)
        self._library.scan_codes(self._table, self._level, request, self._workspace)
        return request.items, request.scores
