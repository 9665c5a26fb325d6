"""Search in many strings without regard to case, in bounded time, and without an index or a copy of them."""

from collections.abc import Iterator
from time import perf_counter, sleep
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.catalogue.folding import Bytes, fold
from models.catalogue.string_array import StringArray

PIECE_BYTES = 1 << 17
"""Bytes that are folded and searched at once; they stay in the cache of a core."""
PIECE_STRINGS = 1 << 14
WORK_S, PAUSE_S = 1e-3, 1e-5
"""Work between two pauses, in which another thread gets the GIL; it would wait for 5 ms otherwise."""
_KINDS: NDArray[np.uint8] = np.digitize(np.arange(256), (0x80, 0xC0, 0xE0, 0xF0)).astype(np.uint8)
"""Kind of each byte of UTF-8: ASCII, continuation, or the first byte of two, three or four."""

Positions = NDArray[np.int64]


class Matches(NamedTuple):
    """Positions of strings, ascending; `is_complete` says whether no other string matches."""

    positions: Positions
    is_complete: bool


class _Pauses:
    """Short pauses of a thread, so that the event loop of its process gets the GIL."""

    def __init__(self) -> None:
        self._ended_at = perf_counter()

    def pause_if_due(self) -> None:
        if perf_counter() - self._ended_at >= WORK_S:
            sleep(PAUSE_S)
            self._ended_at = perf_counter()


def find_prefixed(strings: StringArray, needle: bytes, count: int, *, is_whole: bool = False) -> Matches:
    """Find the first `count` strings that begin with a folded needle, or with `is_whole` equal it."""
    results: list[Positions] = [np.empty(0, dtype=np.int64)]
    remaining = count
    pauses = _Pauses()
    for first in range(0, len(strings), PIECE_STRINGS):
        pauses.pause_if_due()
        ends = strings.ends[first : first + PIECE_STRINGS]
        starts = np.concatenate((strings.ends[first - 1 : first] if first else [0], ends[:-1])).astype(np.int64)
        lengths = ends - starts
        candidates = np.flatnonzero(lengths == len(needle) if is_whole else lengths >= len(needle))
        matches = _select(strings.text, starts[candidates], candidates, needle)
        results.append(matches[:remaining] + first)
        if len(matches) > remaining:
            return Matches(np.concatenate(results), is_complete=False)
        remaining -= len(matches)
    return Matches(np.concatenate(results), is_complete=True)


def find_containing(strings: StringArray, needle: bytes, count: int, stop_at: float) -> Matches:
    """Find the first `count` strings that contain a folded needle; ends at `stop_at`, a time of perf_counter()."""
    results: list[Positions] = [np.empty(0, dtype=np.int64)]
    remaining = count
    pivot = _choose_pivot(strings.text, needle)
    pauses = _Pauses()
    for first, last in _cut(strings.ends):
        pauses.pause_if_due()
        if perf_counter() > stop_at:
            return Matches(np.concatenate(results), is_complete=False)
        start = int(strings.ends[first - 1]) if first else 0
        ends = strings.ends[first:last] - start
        text = strings.text[start : start + int(ends[-1])]
        offsets = _find_offsets(text, needle, pivot)
        rows = np.searchsorted(ends, offsets, side="right")
        rows = np.unique(rows[offsets + len(needle) <= ends[rows]])  # others reach into the next string
        results.append(rows[:remaining] + first)
        if len(rows) > remaining:
            return Matches(np.concatenate(results), is_complete=False)
        remaining -= len(rows)
    return Matches(np.concatenate(results), is_complete=True)


def _choose_pivot(text: Bytes, needle: bytes) -> int | None:
    """Return the offset of the needle's ASCII byte that is rarest at the beginning of the text; None without one."""
    counts = np.bincount(np.frombuffer(text[:PIECE_BYTES].tobytes().lower(), dtype=np.uint8), minlength=256)
    offsets = [offset for offset, byte in enumerate(needle) if byte < 0x80]
    return min(offsets, key=lambda offset: int(counts[needle[offset]]), default=None)


def _find_offsets(text: Bytes, needle: bytes, pivot: int | None) -> Positions:
    """Return the offsets of the needle in a piece of text, ascending."""
    if len(text) < len(needle):
        return np.empty(0, dtype=np.int64)
    num_starts = len(text) - len(needle) + 1
    if pivot is None:
        folded = np.frombuffer(fold(text.tobytes()), dtype=np.uint8)
        starts = np.flatnonzero(folded[:num_starts] == needle[0])
    else:
        starts = np.flatnonzero(_match_byte(text[pivot : pivot + num_starts], needle[pivot]))
    return _select(text, starts, starts, needle)


def _cut(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut strings into pieces of about PIECE_BYTES: their first position, and that behind the last one."""
    first = 0
    while first < len(ends):
        start = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, start + PIECE_BYTES, side="right")))
        yield first, last
        first = last


def _select(text: Bytes, starts: Positions, values: Positions, needle: bytes) -> Positions:
    """Return those of the values, one per start, at whose start the needle is; the text must be long enough."""
    for offset, byte in enumerate(needle):
        if not len(starts):
            break
        is_equal = _match_byte(text[starts + offset], byte)
        starts, values = starts[is_equal], values[is_equal]
    if needle.isascii() or not len(starts):
        return values
    windows = text[starts[:, None] + np.arange(len(needle))]  # whole characters, because all kinds are the same
    folded = np.frombuffer(fold(windows.tobytes()), dtype=np.uint8).reshape(windows.shape)
    return values[np.flatnonzero((folded == np.frombuffer(needle, dtype=np.uint8)).all(axis=1))]


def _match_byte(values: Bytes, byte: int) -> NDArray[np.bool_]:
    """Compare with an ASCII byte of a needle without regard to case; for others, whether the kind is the same."""
    if byte >= 0x80:
        is_equal: NDArray[np.bool_] = _KINDS[values] == _KINDS[byte]
    else:
        is_equal = (values | 0x20 if chr(byte).isalpha() else values) == byte
    return is_equal
