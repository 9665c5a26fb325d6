"""The best items of a catalogue of six-bit product codes by blocks of 64: fast where a processor permutes bytes.

Codes are brought into blocks once; scores come out as from `codes_scan.py`, and no score of the others is ever written.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.native.layout import Blocks
from models.native.library import Library, aligned
from models.native.queries import Asked, Indices, Mask

PLACES = 64
"""Items of a block."""
ROW = 48
"""Bytes of a block's codes in one split."""
MOST_SPLITS = 256
"""Sums of bytes must fit into sixteen bits."""

Bytes = NDArray[np.uint8]


class BlocksScan:
    """Scans one table of blocks. Not for several threads at once."""

    def __init__(
        self,
        library: Library,
        blocks: Bytes,
        num_items: int,
        codebook_size: int,
        *,
        items: NDArray[np.int32] | None = None,
        starts: NDArray[np.int64] | None = None,
        level: int = 0,
    ) -> None:
        """`blocks` (N, splits, 48), contiguous, with an even number of splits; ValueError for others.

        `items` (N · 64,) tells which item has the codes of each place, 0 for none; without, place i has item i.
        `starts` (lists + 1,) is the first block of each list.
        """
        num_subspaces = blocks.shape[1]
        if (
            blocks.shape[2:] != (ROW,)
            or num_subspaces % 2
            or num_subspaces > MOST_SPLITS
            or not 1 <= codebook_size <= PLACES
        ):
            raise ValueError(f"{blocks.shape} are no blocks of an even number of codes below {codebook_size}")
        self._kept = (blocks, items, starts)
        self._library, self._level, self._pieces, self._num_items = (
            library,
            level,
            num_subspaces * codebook_size,
            num_items,
        )
        self._table = Blocks(
            blocks=blocks.ctypes.data,
            items=None if items is None else items.ctypes.data,
            starts=None if starts is None else starts.ctypes.data,
            num_items=num_items,
            num_blocks=len(blocks),
            num_lists=0 if starts is None else len(starts) - 1,
            num_subspaces=num_subspaces,
            codebook_size=codebook_size,
        )
        self._work = aligned(0)

    def find_top_k(
        self,
        products: NDArray[np.float32],
        k: int,
        *,
        lists: NDArray[np.int32] | None = None,
        excluded: Sequence[Indices] | None = None,
        allow_masks: Sequence[Mask | None] | None = None,
    ) -> tuple[Indices, NDArray[np.float32]]:
        """(B, k) items and scores in falling score, equal ones in catalogue order; 0 and −inf where none is left.

        `products` (B, num_subspaces · codebook_size) are each query by each piece, the pieces of a split together; `lists`
        (B, probes) what each query reads, the best first, or everything. `excluded` and `allow_masks` as in `Asked`.
        """
        asked = Asked(products, k, self._pieces, self._num_items, excluded, allow_masks)
        probes = 0 if lists is None else lists.shape[1]
        size = self._library.blocks_workspace(self._table, self._level, len(products), probes)
        if len(self._work) < size:
            self._work = aligned(size)
        self._library.scan_blocks(
            self._table, self._level, asked.questions, lists, self._work, asked.scores, asked.items
        )
        return asked.items, asked.scores


def in_blocks(codes: Bytes) -> Bytes:
    """(N, splits) six-bit codes of places in a row → (N / 64, splits, 48); the last block is filled up with zeros."""
    count, num_subspaces = codes.shape
    number = -(-count // PLACES)
    filled = np.zeros((number * PLACES, num_subspaces), dtype=np.uint8)
    filled[:count] = codes
    fours = filled.reshape(number, PLACES // 4, 4, num_subspaces).astype(np.uint32).transpose(0, 3, 1, 2)
    words = fours[..., 0] | fours[..., 1] << 6 | fours[..., 2] << 12 | fours[..., 3] << 18
    found = np.stack([words & 255, words >> 8 & 255, words >> 16], axis=-1).astype(np.uint8)
    return np.ascontiguousarray(found.reshape(number, num_subspaces, ROW))
