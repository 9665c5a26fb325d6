"""Many short texts as one array of bytes: ten million ids take 170 MB, and 0 where the arrays lie in a mapped file.

A list of ten million Python strings takes some 660 MB, in every process anew, and the garbage collector walks it. It
knows neither items nor files.
"""

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class StringArray(Sequence[str]):
    """`text` (bytes,) uint8, UTF-8; `ends` (n,) int64: text i lies from ends[i − 1] to ends[i]."""

    def __init__(self, text: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.text, self.ends = text, ends
        # A memoryview gives Python's own numbers and bytes, four times as fast as an array gives one element.
        self._text, self._ends = text.data, ends.data

    @classmethod
    def find_indices(cls, texts: Iterable[str]) -> "StringArray":
        if isinstance(texts, StringArray):
            return texts
        encoded = [text.encode() for text in texts]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), np.cumsum(lengths))

    @property
    def nbytes(self) -> int:
        return int(self.text.nbytes + self.ends.nbytes)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if place < 0:
            place += len(self)
        if not 0 <= place < len(self):
            raise IndexError(f"text {place} of {len(self)}")
        begin = self._ends[place - 1] if place else 0
        return str(self._text[begin : self._ends[place]], "utf-8")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared by value, as a list is
