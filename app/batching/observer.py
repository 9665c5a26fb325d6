"""What a batcher tells whoever keeps its metrics. It knows no metric."""

from collections.abc import Sequence
from typing import Protocol


class BatchObserver(Protocol):
    """What a batcher tells its metrics."""

    def on_batch_started(self, waits_s: Sequence[float]) -> None:
        """One queue wait per entry; their number is the batch size."""

    def on_batch_finished(self, size: int, seconds: float) -> None: ...

    def on_rejected(self, reason: str) -> None:
        """`overloaded` (the queue is full), `late` (it would be), `deadline` (it is) or `draining`."""

    def on_cancelled(self) -> None: ...


class NullBatchObserver:
    def on_batch_started(self, waits_s: Sequence[float]) -> None: ...

    def on_batch_finished(self, size: int, seconds: float) -> None: ...

    def on_rejected(self, reason: str) -> None: ...

    def on_cancelled(self) -> None: ...
