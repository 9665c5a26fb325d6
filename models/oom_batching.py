"""How many histories fit into a device's memory at once: found out when too many did not, and remembered.

A batch that is too large for the GPU must not fail requests that would have fitted by themselves. It knows no model.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

Part = TypeVar("Part")

log = logging.getLogger(__name__)


class AdaptiveBatchSize:
    """`largest` is None as long as everything fitted."""

    def __init__(self) -> None:
        self.largest: int | None = None

    def run(self, count: int, ask: Callable[[slice], Part]) -> list[Part]:
        """Answers for rows 0 to `count`, in order, asked in as few parts as fit.

        torch.OutOfMemoryError only if one row alone is too much.
        """
        parts: list[Part] = []
        start = 0
        while start < count:
            size = min(self.largest or count, count - start)
            try:
                parts.append(ask(slice(start, start + size)))
                start += size
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self.largest = size // 2
                log.warning("%d histories at once do not fit into the memory of the device: %d now", size, self.largest)
                torch.cuda.empty_cache()
        return parts
