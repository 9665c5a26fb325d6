"""What a batcher tells whoever keeps its metrics. It knows no metric."""

from collections.abc import Sequence
from typing import Protocol


class BatchObserver(Protocol):
    """What a batcher tells its metrics."""

    def batch_started(self, waits_s: Sequence[float]) -> None:
        """One queue wait per entry; their number is the batch size."""

    def batch_finished(self, size: int, seconds: float) -> None: ...

    def rejected(self, reason: str) -> None:
        """`overloaded` (the queue is full), `late` (it would be), `deadline` (it is) or `draining`."""

    def cancelled(self) -> None: ...


class NullBatchObserver:
    def batch_started(self, waits_s: Sequence[float]) -> None: ...

    def batch_finished(self, size: int, seconds: float) -> None: ...

    def rejected(self, reason: str) -> None: ...

    def cancelled(self) -> None: ...
