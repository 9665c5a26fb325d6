"""Callbacks through which a batcher reports metrics."""

from collections.abc import Sequence
from typing import Protocol


class BatchObserver(Protocol):
    """Callback interface through which a batcher reports metrics."""

    def on_batch_started(self, waits_s: Sequence[float]) -> None:
        """One queue wait per entry; their number is the batch size."""

    def on_batch_finished(self, size: int, seconds: float) -> None: ...

    def on_rejected(self, reason: str) -> None:
        """`overloaded` (queue full), `deadline_unmeetable` (predicted miss), `deadline` (passed) or `draining`."""

    def on_cancelled(self) -> None: ...


class NullBatchObserver:
    def on_batch_started(self, waits_s: Sequence[float]) -> None: ...

    def on_batch_finished(self, size: int, seconds: float) -> None: ...

    def on_rejected(self, reason: str) -> None: ...

    def on_cancelled(self) -> None: ...
