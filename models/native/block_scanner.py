"""Scans product-quantization codes in blocks of 64 items, fast on processors with byte permutation.

Six-bit codes are packed into blocks once. Of codes up to 256 the blocks hold groups of four: a scan bounds the scores
by the best code of each group, and reads the codes of the items that may be in the top k. Scores equal those of
`code_scanner.py`; only the top k is ever written.
"""

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.native.layout import Answers, Blocks, RuledBatch, Transitions
from models.native.library import Library, allocate_aligned
from models.native.scan_request import Indices, Mask, ScanRequest

BLOCK_ITEMS = 64
ROW_BYTES = 48
"""Bytes of a block's codes in one subspace."""
GROUP_CODES, MAX_CODES = 4, 256
MAX_SUBSPACES = 256
"""Sums of bytes must fit in 16 bits."""

Bytes = NDArray[np.uint8]


class BlockScanner:
    """Scans one table of blocks. Not thread-safe."""

    def __init__(
        self,
        library: Library,
        blocks: Bytes,
        num_items: int,
        codebook_size: int,
        *,
        items: NDArray[np.int32] | None = None,
        starts: NDArray[np.int64] | None = None,
        codes: Bytes | None = None,
        groups: Bytes | None = None,
        level: int = 0,
    ) -> None:
        """Raise ValueError unless `blocks` has shape (N, num_subspaces, 48) with an even number of subspaces.

        `blocks` must be contiguous. `items` (N · 64,): the item in each slot, 0 for none; None if slot i holds item i.
        `starts` (lists + 1,): the first block of each list. `codes` (num_items + 1, num_subspaces), contiguous, and
        `groups` of `group_centroids`, if the blocks hold groups.
        """
        num_subspaces = blocks.shape[1]
        is_even = num_subspaces % 2 == 0
        if blocks.shape[2:] != (ROW_BYTES,) or not is_even or num_subspaces > MAX_SUBSPACES:
            raise ValueError(f"blocks must have shape (N, even number of subspaces, {ROW_BYTES}) (got {blocks.shape})")
        max_codes = BLOCK_ITEMS if groups is None else MAX_CODES
        if not 1 <= codebook_size <= max_codes:
            raise ValueError(f"codebook size must be between 1 and {max_codes} (got {codebook_size})")
        if groups is not None:
            shapes = groups.shape, None if codes is None else codes.shape
            if shapes != ((num_subspaces, BLOCK_ITEMS, GROUP_CODES), (num_items + 1, num_subspaces)):
                raise ValueError(f"groups and codes {shapes} do not fit {num_items} items in {num_subspaces} subspaces")
        self._owned_arrays = (blocks, items, starts, codes, groups)
        self._library, self._level, self.num_items = library, level, num_items
        self._table_size = num_subspaces * codebook_size
        self._table = Blocks(
            blocks=blocks.ctypes.data,
            items=None if items is None else items.ctypes.data,
            starts=None if starts is None else starts.ctypes.data,
            codes=None if codes is None else codes.ctypes.data,
            groups=None if groups is None else groups.ctypes.data,
            num_items=num_items,
            num_blocks=len(blocks),
            num_lists=0 if starts is None else len(starts) - 1,
            num_subspaces=num_subspaces,
            codebook_size=codebook_size,
        )
        self._workspace = allocate_aligned(0)

    def find_top_k(
        self,
        lookup_tables: NDArray[np.float32],
        k: int,
        *,
        lists: NDArray[np.int32] | None = None,
        excluded: Sequence[Indices] | None = None,
        allow_masks: Sequence[Mask | None] | None = None,
    ) -> tuple[Indices, NDArray[np.float32]]:
        """Return (B, k) items and scores, ties in catalogue order; 0 and −inf past the last eligible item.

        `lookup_tables` (B, num_subspaces · codebook_size): product of each query with each centroid. `lists`
        (B, nprobe): lists that each query reads, the best first; None to read all. Filters as in `ScanRequest`.
        """
        request = ScanRequest(lookup_tables, k, self._table_size, self.num_items, excluded, allow_masks)
        workspace = self._get_workspace(len(lookup_tables), 0 if lists is None else lists.shape[1])
        self._library.scan_blocks(self._table, self._level, request, lists, workspace)
        return request.items, request.scores

    def rank(
        self, memory: Transitions | None, batch: RuledBatch, rules: ctypes.Array[ctypes.c_void_p], answers: Answers
    ) -> None:
        """Fill answers under rules from all blocks, as `Library.rank`."""
        workspace = self._get_workspace(batch.queries.count, 0)
        self._library.rank(self._table, self._level, memory, batch, rules, answers, workspace)

    def _get_workspace(self, count: int, nprobe: int) -> NDArray[np.float32]:
        size = self._library.get_blocks_workspace(self._table, self._level, count, nprobe)
        if len(self._workspace) < size:
            self._workspace = allocate_aligned(size)
        return self._workspace


def pack_blocks(codes: Bytes) -> Bytes:
    """Pack (N, num_subspaces) six-bit codes into (⌈N / 64⌉, num_subspaces, 48), the last block padded with zeros."""
    count, num_subspaces = codes.shape
    num_blocks = -(-count // BLOCK_ITEMS)
    padded = np.zeros((num_blocks * BLOCK_ITEMS, num_subspaces), dtype=np.uint8)
    padded[:count] = codes
    fours = padded.reshape(num_blocks, BLOCK_ITEMS // 4, 4, num_subspaces).astype(np.uint32).transpose(0, 3, 1, 2)
    words = fours[..., 0] | fours[..., 1] << 6 | fours[..., 2] << 12 | fours[..., 3] << 18
    packed = np.stack([words & 255, words >> 8 & 255, words >> 16], axis=-1).astype(np.uint8)
    return np.ascontiguousarray(packed.reshape(num_blocks, num_subspaces, ROW_BYTES))


def group_centroids(codebooks: NDArray[np.float32]) -> tuple[Bytes, Bytes]:
    """Cut each codebook of (num_subspaces, codes, width) into 64 groups of four centroids near each other.

    Returns the codes of each group (num_subspaces, 64, 4), some more than once where there are fewer than 256, and the
    group of each code (num_subspaces, codes). Halves are cut at the median of their widest dimension.
    """
    num_subspaces, num_codes, _ = codebooks.shape
    groups = np.tile(np.resize(np.arange(num_codes), MAX_CODES), (num_subspaces, 1, 1))
    while groups.shape[-1] > GROUP_CODES:
        points = codebooks[np.arange(num_subspaces)[:, None, None], groups]
        widest = np.ptp(points, axis=2).argmax(-1)[:, :, None, None]
        order = np.take_along_axis(points, widest, axis=-1)[..., 0].argsort(-1, kind="stable")
        groups = np.take_along_axis(groups, order, axis=-1).reshape(num_subspaces, 2 * groups.shape[1], -1)
    group_of_code = np.zeros((num_subspaces, num_codes), dtype=np.uint8)
    members = groups.reshape(num_subspaces, -1)
    np.put_along_axis(group_of_code, members, np.arange(MAX_CODES, dtype=np.uint8)[None] // GROUP_CODES, axis=1)
    return np.ascontiguousarray(groups, dtype=np.uint8), group_of_code
