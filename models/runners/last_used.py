"""A bounded store that forgets what has not been used for longest. It knows nothing of what it keeps."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LastUsed(Generic[Key, Value]):
    """functools.lru_cache over a method would hold its owner in a cycle, which nobody collects here (decision 8)."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """What is kept under the key. Room is made before `make` is called: old and new need not fit together."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        while len(self._kept) >= self._most:
            self._kept.popitem(last=False)
        self._kept[key] = made = make()
        return made

    def clear(self) -> None:
        self._kept.clear()
