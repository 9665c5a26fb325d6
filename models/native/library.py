"""The native library, loaded if it was built: calls into C with the types of arrays. It knows no torch and no model."""

import ctypes
from collections.abc import Sequence
from ctypes import c_char_p, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.native.build import places
from models.native.layout import LAYOUT, Blocks, Codes, Model, Questions

ALIGNMENT = 64  # bytes: a vector that lies across two cache lines costs two
PROBLEMS = {2: ValueError("every history needs at least one item"), 3: IndexError("an item is not in the catalogue")}


class Library:
    """`levels` are the kinds of processors it was compiled for and that this one can run, the fastest first."""

    def __init__(self, path: Path) -> None:
        """OSError for a file that is no library, or not one of these sources."""
        self.path = path
        self._c = ctypes.CDLL(str(path))
        self._c.nextup_layout.restype = c_int64
        if (layout := self._c.nextup_layout()) != LAYOUT:
            raise OSError(f"{path} was built for models of layout {layout}, this is {LAYOUT}")
        self._c.nextup_level.restype, self._c.nextup_level.argtypes = c_char_p, (c_int,)
        self._c.nextup_workspace.restype = c_int64
        self._c.nextup_workspace.argtypes = (ctypes.POINTER(Model), c_int)
        self._c.nextup_encode.restype = c_int
        self._c.nextup_encode.argtypes = (
            *(ctypes.POINTER(Model), c_int, c_void_p, c_void_p, c_void_p),
            *(c_int64, c_void_p, c_int, c_void_p),
        )
        self._c.nextup_scan_workspace.restype = c_int64
        self._c.nextup_scan_workspace.argtypes = (ctypes.POINTER(Codes), c_int)
        self._c.nextup_scan_codes.restype = c_int
        self._c.nextup_scan_codes.argtypes = (
            *(ctypes.POINTER(Codes), c_int, ctypes.POINTER(Questions)),
            *(c_void_p, c_void_p, c_void_p),
        )
        self._c.nextup_blocks_workspace.restype = c_int64
        self._c.nextup_blocks_workspace.argtypes = (ctypes.POINTER(Blocks), c_int, c_int64, c_int64)
        self._c.nextup_scan_blocks.restype = c_int
        self._c.nextup_scan_blocks.argtypes = (
            *(ctypes.POINTER(Blocks), c_int, ctypes.POINTER(Questions), c_void_p, c_int),
            *(c_void_p, c_void_p, c_void_p),
        )
        names: list[str] = []
        while (name := self._c.nextup_level(len(names))) is not None:
            names.append(name.decode())
        self.levels: Sequence[str] = tuple(names)

    def workspace(self, model: Model, level: int) -> int:
        """Floats of memory that one thread needs."""
        return int(self._c.nextup_workspace(ctypes.byref(model), level))

    def encode(
        self,
        model: Model,
        level: int,
        items: NDArray[np.int64],
        times: NDArray[np.uint32] | None,
        offsets: NDArray[np.int64],
        work: NDArray[np.float32],
        threads: int,
    ) -> NDArray[np.float32]:
        """(B, dim) hidden vectors of the histories items[offsets[i]:offsets[i + 1]], `offsets` (B + 1,).

        `work` holds `threads` workspaces and is `aligned`. ValueError for an empty history, IndexError for an item that
        is not in the catalogue.
        """
        count = len(offsets) - 1
        out = np.empty((count, model.dim), dtype=np.float32)
        problem = self._c.nextup_encode(
            ctypes.byref(model),
            level,
            items.ctypes.data,
            None if times is None else times.ctypes.data,
            offsets.ctypes.data,
            count,
            work.ctypes.data,
            threads,
            out.ctypes.data,
        )
        if problem:
            raise PROBLEMS.get(problem, ValueError(f"the native library has no level {level}"))
        return out

    def scan_workspace(self, table: Codes, level: int) -> int:
        """Floats of memory for a scan."""
        return int(self._c.nextup_scan_workspace(ctypes.byref(table), level))

    def scan_codes(
        self,
        table: Codes,
        level: int,
        asked: Questions,
        work: NDArray[np.float32],
        scores: NDArray[np.float32],
        items: NDArray[np.int64],
    ) -> None:
        """Fills `scores` and `items` (asked.count, asked.k), find_top_k first; `work` is `aligned`."""
        arrays = (work.ctypes.data, scores.ctypes.data, items.ctypes.data)
        if self._c.nextup_scan_codes(ctypes.byref(table), level, ctypes.byref(asked), *arrays):
            raise ValueError(f"the native library has no level {level}")

    def blocks_workspace(self, table: Blocks, level: int, count: int, probes: int) -> int:
        """Floats of memory for a scan of `count` questions that read `probes` lists each."""
        return int(self._c.nextup_blocks_workspace(ctypes.byref(table), level, count, probes))

    def scan_blocks(
        self,
        table: Blocks,
        level: int,
        asked: Questions,
        lists: NDArray[np.int32] | None,
        work: NDArray[np.float32],
        scores: NDArray[np.float32],
        items: NDArray[np.int64],
    ) -> None:
        """Like `scan_codes`, of `lists` (asked.count, probes), the best first; of everything without."""
        arrays = (work.ctypes.data, scores.ctypes.data, items.ctypes.data)
        at, probes = (None, 0) if lists is None else (lists.ctypes.data, lists.shape[1])
        if self._c.nextup_scan_blocks(ctypes.byref(table), level, ctypes.byref(asked), at, probes, *arrays):
            raise ValueError(f"the native library has no level {level}")


@cache
def library() -> Library | None:
    """The library of these sources, None if it was not built; OSError if it cannot be loaded."""
    return next((Library(path) for path in places() if path.exists()), None)


def aligned(size: int) -> NDArray[np.float32]:
    """(size,) floats, not set, that begin at a multiple of `ALIGNMENT` bytes."""
    room = np.empty(size + ALIGNMENT // 4, dtype=np.float32)
    start = -room.ctypes.data % ALIGNMENT // 4
    return room[start : start + size]
