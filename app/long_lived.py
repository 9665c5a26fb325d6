"""What a process keeps out of the garbage collector's way (DECISIONS.md, decision 8). It knows no model."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def long_lived() -> Iterator[None]:
    """What exists now stays until the block ends, so the garbage collector need not look at it.

    It would: modules, model and catalogue again and again, and stop every request for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
