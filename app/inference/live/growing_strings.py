"""Strings in two arrays that grow at their ends while other threads read."""

from collections.abc import Sequence

import numpy as np

from app.inference.live.growing_array import GrowingArray


class GrowingStrings:
    """Takes the bytes of the strings and 8 more for each; a list takes some 60 more."""

    def __init__(self) -> None:
        self._text = GrowingArray(np.uint8)
        self._ends = GrowingArray(np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def nbytes(self) -> int:
        return self._text.nbytes + self._ends.nbytes

    def extend(self, strings: Sequence[str]) -> None:
        """Append strings; the text first, so that a reader finds that of each end."""
        encoded = [string.encode() for string in strings]
        first = len(self._text)
        self._text.extend(np.frombuffer(b"".join(encoded), dtype=np.uint8))
        self._ends.extend(first + np.cumsum([len(part) for part in encoded], dtype=np.int64))

    def get(self, position: int) -> str:
        ends = self._ends.values
        start = int(ends[position - 1]) if position else 0
        return self._text.values[start : int(ends[position])].tobytes().decode()
