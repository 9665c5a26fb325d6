"""Many short strings in one byte array, which can be memory-mapped.

Ten million ids take 170 MB, and no private memory when mapped. A list of ten million Python strings takes some 660 MB
in every process, and the garbage collector walks it.
"""

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class StringArray(Sequence[str]):
    """A read-only sequence of strings; `text` (bytes,) uint8 is UTF-8 and `ends` (n,) int64 are end offsets."""

    def __init__(self, text: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.text, self.ends = text, ends
        # Memoryviews return plain ints and bytes, four times as fast as indexing an array.
        self._text, self._ends = text.data, ends.data

    @classmethod
    def from_strings(cls, strings: Iterable[str]) -> "StringArray":
        """Encode the strings; a StringArray is returned unchanged."""
        if isinstance(strings, StringArray):
            return strings
        encoded = [string.encode() for string in strings]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), np.cumsum(lengths))

    @property
    def nbytes(self) -> int:
        return int(self.text.nbytes + self.ends.nbytes)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, position: int) -> str: ...

    @overload
    def __getitem__(self, position: slice) -> list[str]: ...

    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            return [self[index] for index in range(*position.indices(len(self)))]
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"string {position} is out of range (length {len(self)})")
        start = self._ends[position - 1] if position else 0
        return str(self._text[start : self._ends[position]], "utf-8")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared by value, like a list
