"""Loads the native library and calls its C functions with numpy arrays. Does not depend on torch."""

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_char_p, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.native.build import get_library_paths
from models.native.layout import LAYOUT, Answers, Blocks, Codes, Model, Queries, RuledBatch, Transitions
from models.native.scan_request import ScanRequest

ALIGNMENT = 64  # bytes: a vector that crosses a cache line costs two reads
EMPTY_HISTORY, UNKNOWN_ITEM = 2, 3  # results of nextup_encode, as in c_api.cpp


class Library:
    """The C functions. `levels` are the instruction sets that this processor can run, the fastest first."""

    def __init__(self, path: Path) -> None:
        """Raise OSError for a file that is not a library, or was built from other sources."""
        self.path = path
        self._c = ctypes.CDLL(str(path))
        _declare(self._c.nextup_layout, c_int64)
        if (layout := self._c.nextup_layout()) != LAYOUT:
            raise OSError(f"{path} has struct layout {layout}, expected {LAYOUT}; rebuild it")
        buffers = (c_void_p, c_void_p, c_void_p)  # workspace, scores, items
        _declare(self._c.nextup_level, c_char_p, c_int)
        _declare(self._c.nextup_workspace, c_int64, POINTER(Model), c_int)
        _declare(
            self._c.nextup_encode,
            c_int,
            POINTER(Model),
            c_int,  # level
            c_void_p,  # items
            c_void_p,  # times
            c_void_p,  # request_times
            c_void_p,  # offsets
            c_int64,  # count
            c_void_p,  # workspace
            c_int,  # threads
            c_void_p,  # out
        )
        _declare(self._c.nextup_codes_workspace, c_int64, POINTER(Codes), c_int)
        _declare(self._c.nextup_scan_codes, c_int, POINTER(Codes), c_int, POINTER(Queries), *buffers)
        _declare(self._c.nextup_blocks_workspace, c_int64, POINTER(Blocks), c_int, c_int64, c_int64)
        queries_and_lists = (POINTER(Queries), c_void_p, c_int)
        _declare(self._c.nextup_scan_blocks, c_int, POINTER(Blocks), c_int, *queries_and_lists, *buffers)
        pointers = (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)  # newest, lengths, hidden, scores, items
        _declare(self._c.nextup_rerank, c_int, POINTER(Transitions), POINTER(Queries), *pointers)
        tables = (POINTER(Blocks), c_int, POINTER(Transitions))
        _declare(self._c.nextup_rank, c_int, *tables, POINTER(RuledBatch), c_void_p, POINTER(Answers), c_void_p)
        names: list[str] = []
        while (name := self._c.nextup_level(len(names))) is not None:
            names.append(name.decode())
        self.levels: Sequence[str] = tuple(names)

    def get_workspace(self, model: Model, level: int) -> int:
        """Return the floats of memory that one thread needs."""
        return int(self._c.nextup_workspace(ctypes.byref(model), level))

    def encode(
        self,
        model: Model,
        level: int,
        items: NDArray[np.int64],
        times: NDArray[np.uint32] | None,
        request_times: NDArray[np.uint32] | None,
        offsets: NDArray[np.int64],
        workspace: NDArray[np.float32],
        threads: int,
    ) -> NDArray[np.float32]:
        """Return (B, dim) hidden vectors of the histories items[offsets[i]:offsets[i + 1]], `offsets` (B + 1,).

        `workspace` is aligned memory for `threads` threads. Raises ValueError for an empty history, IndexError for an
        item that is not in the catalogue.
        """
        count = len(offsets) - 1
        out = np.empty((count, model.dim), dtype=np.float32)
        error = self._c.nextup_encode(
            ctypes.byref(model),
            level,
            items.ctypes.data,
            None if times is None else times.ctypes.data,
            None if request_times is None else request_times.ctypes.data,
            offsets.ctypes.data,
            count,
            workspace.ctypes.data,
            threads,
            out.ctypes.data,
        )
        _check_histories(error)
        _check_level(error, level)
        return out

    def get_codes_workspace(self, table: Codes, level: int) -> int:
        """Return the floats of memory that a scan needs."""
        return int(self._c.nextup_codes_workspace(ctypes.byref(table), level))

    def scan_codes(self, table: Codes, level: int, request: ScanRequest, workspace: NDArray[np.float32]) -> None:
        """Fill the items and scores of the request; `workspace` is aligned."""
        buffers = (workspace.ctypes.data, request.scores.ctypes.data, request.items.ctypes.data)
        queries = ctypes.byref(request.queries)
        _check_level(self._c.nextup_scan_codes(ctypes.byref(table), level, queries, *buffers), level)

    def get_blocks_workspace(self, table: Blocks, level: int, count: int, nprobe: int) -> int:
        """Return the floats of memory that a scan of `count` queries with `nprobe` lists each needs."""
        return int(self._c.nextup_blocks_workspace(ctypes.byref(table), level, count, nprobe))

    def scan_blocks(
        self,
        table: Blocks,
        level: int,
        request: ScanRequest,
        lists: NDArray[np.int32] | None,
        workspace: NDArray[np.float32],
    ) -> None:
        """Fill the items and scores of the request from `lists` (B, nprobe), the best first; None reads all blocks."""
        buffers = (workspace.ctypes.data, request.scores.ctypes.data, request.items.ctypes.data)
        lists_address, nprobe = (None, 0) if lists is None else (lists.ctypes.data, lists.shape[1])
        queries = ctypes.byref(request.queries)
        error = self._c.nextup_scan_blocks(ctypes.byref(table), level, queries, lists_address, nprobe, *buffers)
        _check_level(error, level)

    def rerank(
        self,
        memory: Transitions,
        queries: Queries,
        newest: NDArray[np.int64],
        lengths: NDArray[np.int64],
        hidden: NDArray[np.float32],
        scores: NDArray[np.float32],
        items: NDArray[np.int64],
    ) -> None:
        """Add bonuses to the top k in `scores` and `items` (B, k), in place; all arrays are contiguous.

        Raises ValueError for an empty history, IndexError for an item that is not in the catalogue.
        """
        addresses = (array.ctypes.data for array in (newest, lengths, hidden, scores, items))
        error = self._c.nextup_rerank(ctypes.byref(memory), ctypes.byref(queries), *addresses)
        _check_histories(error)

    def rank(
        self,
        table: Blocks,
        level: int,
        memory: Transitions | None,
        batch: RuledBatch,
        rules: ctypes.Array[c_void_p],
        answers: Answers,
        workspace: NDArray[np.float32],
    ) -> None:
        """Fill answers that are not whole, in place; `rules` has an address of `Rules` per query.

        Raises ValueError for an empty history, IndexError for an item that is not in the catalogue.
        """
        memory_pointer = None if memory is None else ctypes.byref(memory)
        batch_pointers = ctypes.byref(batch), rules, ctypes.byref(answers), workspace.ctypes.data
        error = self._c.nextup_rank(ctypes.byref(table), level, memory_pointer, *batch_pointers)
        _check_histories(error, "an item is not in the catalogue, or the rules are for another one")
        _check_level(error, level)


@cache
def load_library() -> Library | None:
    """Load the library of these sources; None if it was not built, OSError if it cannot be loaded."""
    return next((Library(path) for path in get_library_paths() if path.exists()), None)


def allocate_aligned(size: int) -> NDArray[np.float32]:
    """Allocate (size,) uninitialized floats at a multiple of `ALIGNMENT` bytes."""
    padded = np.empty(size + ALIGNMENT // 4, dtype=np.float32)
    start = -padded.ctypes.data % ALIGNMENT // 4
    return padded[start : start + size]


def _declare(function: Any, result: Any, *arguments: Any) -> None:
    function.restype, function.argtypes = result, arguments


def _check_histories(error: int, unknown_item: str = "an item is not in the catalogue") -> None:
    """Raise the error of a history that is empty or has an unknown item."""
    if error == EMPTY_HISTORY:
        raise ValueError("a history is empty; every history needs at least one item")
    if error == UNKNOWN_ITEM:
        raise IndexError(unknown_item)


def _check_level(error: int, level: int) -> None:
    if error:
        raise ValueError(f"the native library has no level {level}")
