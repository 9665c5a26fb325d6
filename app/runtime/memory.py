"""Heap of a process with long-lived objects: exclude it from garbage collection, return freed memory."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def freeze_heap() -> Iterator[None]:
    """Exclude all existing objects from garbage collection until the block ends.

    Otherwise every full collection would traverse modules, model and catalogue, and stop all requests for 0.1 s.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def trim_heap() -> None:
    """Return freed memory to the operating system, with glibc's allocator.

    The allocator would keep the temporary memory of a load: 1.9 of 2.1 GB after ten million items.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
