"""Adds a transition memory to the top k of a scan in native code; models/transitions has the formulas."""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.native.layout import Queries, Transitions
from models.native.library import Library
from models.native.scan_request import Indices, Mask, lay_out_masks

Floats = NDArray[np.float32]
LOOKBACK, FEATURES = 10, 8  # as in transitions.h
MAX_FOLLOWERS = 64
NO_ITEMS = np.empty(0, dtype=np.int64)


class MemoryArrays(NamedTuple):
    """Arrays of a transition memory, and the constants of its formulas."""

    rows: NDArray[np.uint8]
    probabilities: Floats
    gate: Floats
    normalizer_in: Floats
    normalizer_out: Floats
    num_followers: int
    index_bytes: int
    count_step: float
    max_exponent: float
    scale: float
    damping: float


class ItemTable(NamedTuple):
    """`vectors` (num_items + 1, dim), or with `codes` (num_items + 1, bytes) codebooks (subspaces · size, width)."""

    vectors: Floats
    codes: NDArray[np.uint8] | None = None
    num_subspaces: int = 0
    codebook_size: int = 0
    are_packed: bool = False


class Reranker:
    """Reranks for one model, whose arrays it refers to."""

    def __init__(self, library: Library, memory: MemoryArrays, table: ItemTable, dim: int) -> None:
        """Raise ValueError for arrays that do not have the library's layout."""
        arrays = (*memory[:5], table.vectors, *(() if table.codes is None else (table.codes,)))
        if not all(array.flags.c_contiguous for array in arrays) or memory.num_followers > MAX_FOLLOWERS:
            raise ValueError("the library reranks contiguous arrays of up to 64 followers")
        if memory.gate.shape != (2, LOOKBACK + FEATURES) or memory.normalizer_in.shape[1] != dim + 1:
            raise ValueError("the weights of the transition memory have other shapes than in the library")
        self._library, self._dim = library, dim
        self._arrays = arrays
        self.memory = Transitions(
            **{name: getattr(memory, name).ctypes.data for name in MemoryArrays._fields[:5]},
            vectors=table.vectors.ctypes.data,
            codes=None if table.codes is None else table.codes.ctypes.data,
            num_items=len(memory.rows) - 1,
            num_followers=memory.num_followers,
            index_bytes=memory.index_bytes,
            dim=dim,
            units=len(memory.normalizer_in),
            num_subspaces=table.num_subspaces,
            codebook_size=table.codebook_size,
            code_bytes=0 if table.codes is None else table.codes.shape[1],
            codes_are_packed=table.are_packed,
            count_step=memory.count_step,
            max_exponent=memory.max_exponent,
            scale=memory.scale,
            damping=memory.damping,
        )

    def rerank(
        self,
        histories: Sequence[Indices],
        hidden: Floats,
        scores: Floats,
        items: Indices,
        excluded: Sequence[Indices] | None,
        allow_masks: Sequence[Mask | None] | None,
    ) -> None:
        """Change the top k in `scores` and `items` (B, k), which are contiguous, in place."""
        count = len(histories)
        newest = lay_out_newest(histories)
        lengths = np.array([len(history) for history in histories], dtype=np.int64)
        starts = np.zeros(count + 1, dtype=np.int64)
        excluded_items = NO_ITEMS
        if excluded is not None:
            np.cumsum([len(indices) for indices in excluded], out=starts[1:])
            excluded_items = np.ascontiguousarray(np.concatenate(excluded), dtype=np.int64)
        masks, mask_addresses = lay_out_masks(allow_masks, count, self.memory.num_items)
        queries = Queries(
            lookup_tables=None,
            excluded=excluded_items.ctypes.data,
            excluded_starts=starts.ctypes.data,
            allow_masks=ctypes.addressof(mask_addresses) if masks else None,
            count=count,
            k=items.shape[1],
        )
        self._library.rerank(self.memory, queries, newest, lengths, np.ascontiguousarray(hidden), scores, items)


def lay_out_newest(histories: Sequence[Indices]) -> Indices:
    """Return (B, LOOKBACK) the newest items of each history, the newest first, 0 past its start."""
    tails = [history[-LOOKBACK:] for history in histories]
    if all(len(tail) == LOOKBACK for tail in tails):  # an assignment per row costs more than all other steps
        return np.ascontiguousarray(np.concatenate(tails).reshape(-1, LOOKBACK)[:, ::-1], dtype=np.int64)
    newest = np.zeros((len(tails), LOOKBACK), dtype=np.int64)
    for row, tail in zip(newest, tails, strict=True):
        row[: len(tail)] = tail[::-1]
    return newest
