"""Weights of events as targets of the loss, by window of a history."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]
"""Weights of the events of a history as targets, parallel to it; 0 for an event that is no target."""


def find_last_target(weights: Weights) -> int:
    """End of a history after its last target; 0 without one, as the first event has no history before it."""
    positions = np.flatnonzero(weights[1:])
    return int(positions[-1]) + 2 if len(positions) else 0


class TargetWeights:
    """Sums the weights of the targets of windows without building them; `rows` are those of each history.

    A window has at most `max_len` items before its last target. `last_only` counts only that one.
    """

    def __init__(self, rows: Sequence[Weights], max_len: int, *, last_only: bool) -> None:
        self.rows = rows
        self._window = 1 if last_only else max_len
        self._starts = np.cumsum([0, *map(len, rows)])[:-1]
        self._sums = np.concatenate(([0.0], np.cumsum(np.concatenate(rows), dtype=np.float64)))

    def sum_windows(self, plan: NDArray[np.int64]) -> NDArray[np.float64]:
        """Sum the weights of each window of a plan (B, 2), a row and the end of its window: (B,)."""
        rows, ends = plan[:, 0], plan[:, 1]
        first_targets = np.maximum(1, ends - self._window)
        sums: NDArray[np.float64] = (
            self._sums[self._starts[rows] + ends] - self._sums[self._starts[rows] + first_targets]
        )
        return sums
