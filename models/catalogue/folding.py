"""Folding of UTF-8, so that texts that differ in case only are equal.

A character becomes its lowercase form if that has as many bytes, so that offsets in a text stay the same.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

NUM_POINTS = 1 << 16
"""Characters that are folded; few scripts behind them have upper case."""
SURROGATES = range(0xD800, 0xE000)
_TWO, _THREE, _FOUR = 0xC0, 0xE0, 0xF0
"""First bytes of characters of two, three and four bytes begin here."""


def fold(text: bytes) -> bytes:
    """Fold UTF-8, which must be whole characters."""
    lower = text.lower()  # of ASCII
    if lower.isascii():
        return lower
    folded = np.frombuffer(bytearray(lower), dtype=np.uint8)
    first = np.flatnonzero(folded >= _TWO)
    kinds = folded[first]
    _fold_pairs(folded, first[kinds < _THREE])
    _fold_triples(folded, first[(kinds >= _THREE) & (kinds < _FOUR)])
    return folded.tobytes()


def _fold_pairs(text: Bytes, first: NDArray[np.intp]) -> None:
    """Fold the characters of two bytes that begin at `first`."""
    points = make_lower_table()[(text[first] & 0x1F).astype(np.intp) << 6 | text[first + 1] & 0x3F]
    text[first] = points >> 6 | _TWO
    text[first + 1] = points & 0x3F | 0x80


def _fold_triples(text: Bytes, first: NDArray[np.intp]) -> None:
    high = (text[first] & 0xF).astype(np.intp) << 12 | (text[first + 1] & 0x3F).astype(np.intp) << 6
    points = make_lower_table()[high | text[first + 2] & 0x3F]
    text[first] = points >> 12 | _THREE
    text[first + 1] = points >> 6 & 0x3F | 0x80
    text[first + 2] = points & 0x3F | 0x80


@cache
def make_lower_table() -> NDArray[np.uint16]:
    """(NUM_POINTS,): the lowercase form of each character, or the character if that has another length in UTF-8."""
    table = np.arange(NUM_POINTS, dtype=np.uint16)
    for point in range(0x80, NUM_POINTS):
        if point not in SURROGATES:
            lower = chr(point).lower()
            if len(lower) == 1 and len(lower.encode()) == len(chr(point).encode()):
                table[point] = ord(lower)
    return table
