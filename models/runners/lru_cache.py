"""A bounded cache that evicts the least recently used entry."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LruCache(Generic[Key, Value]):
    """functools.lru_cache on a method would hold its owner in a cycle, and the heap is frozen (ADR-0014)."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the cached value, or make it; evicts before `make`, so that old and new need not fit together."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        while len(self._entries) >= self._max_entries:
            self._entries.popitem(last=False)
        self._entries[key] = value = make()
        return value

    def clear(self) -> None:
        self._entries.clear()
