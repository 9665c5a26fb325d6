"""Largest batch that fits in device memory, learned from out-of-memory errors.

A batch too large for the GPU must not fail requests that would fit in smaller batches.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

Part = TypeVar("Part")

log = logging.getLogger(__name__)


class AdaptiveBatchSize:
    """Splits batches that ran out of memory. `limit` is None until the first out-of-memory error."""

    def __init__(self) -> None:
        self.limit: int | None = None

    def run(self, count: int, run_part: Callable[[slice], Part]) -> list[Part]:
        """Run rows 0 to `count` in order, in as few parts as fit.

        Raises torch.OutOfMemoryError only if a single row does not fit.
        """
        parts: list[Part] = []
        start = 0
        while start < count:
            size = min(self.limit or count, count - start)
            try:
                parts.append(run_part(slice(start, start + size)))
                start += size
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self.limit = size // 2
                log.warning("%d histories do not fit in device memory; batch size reduced to %d", size, self.limit)
                torch.cuda.empty_cache()
        return parts
