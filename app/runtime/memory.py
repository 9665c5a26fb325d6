"""What a process keeps for good once a model is loaded, and what it gives back. It knows no model."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def freeze_heap() -> Iterator[None]:
    """What exists now stays until the block ends, so the garbage collector need not look at it (DECISIONS.md, 8).

    It would: modules, model and catalogue again and again, and stop every request for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def trim_heap() -> None:
    """Memory that was freed goes back to the system, where the allocator can be told so (glibc).

    It would keep what a load needed for a moment: 1.9 of 2.1 GB after ten million items.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
