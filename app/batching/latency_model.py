"""How long batches will take, learned from those that ran: seconds ≈ b + a · entries + c · work.

`work` is whatever makes an entry dear, such as the length of its history. Recursive least squares that forgets, so that
a busier machine or another model is known within some hundred batches. It knows no queue and no clock.
"""

import numpy as np
from numpy.typing import NDArray

FORGETTING = 0.99
"""Weight of a batch after the next one: a hundred batches are remembered."""
MIN_BATCHES = 20
"""Batches before a forecast counts."""
LARGE = 1e6
"""Variance of the weights before anything was seen."""


class BatchLatencyModel:
    """`mean_work` is that of the entries seen lately, for those of which only the number is known."""

    def __init__(self) -> None:
        self._weights = np.zeros(3)
        self._covariance = np.eye(3) * LARGE
        self._seen = 0
        self.mean_work = 0.0

    @property
    def is_ready(self) -> bool:
        return self._seen >= MIN_BATCHES

    def observe(self, entries: int, work: float, seconds: float) -> None:
        """One batch that ran."""
        row = _row(1, entries, work)
        along = self._covariance @ row
        gain = along / (FORGETTING + row @ along)
        self._weights = self._weights + gain * (1000 * seconds - row @ self._weights)
        known = self._covariance - np.outer(gain, along)
        known = (known + known.T) / 2  # stays symmetric whatever rounds
        # Where all batches are alike, what they do not tell would be forgotten without end.
        self._covariance = known / FORGETTING if np.trace(known) < LARGE else known
        share = max(1 - FORGETTING, 1 / (self._seen + 1))
        self.mean_work += share * (work / entries - self.mean_work)
        self._seen += 1

    def predict(self, batches: int, entries: int, work: float) -> float:
        """Of so many batches with these entries in all, one after another; never below 0."""
        return max(0.0, float(_row(batches, entries, work) @ self._weights)) / 1000


def _row(batches: int, entries: int, work: float) -> NDArray[np.float64]:
    return np.array([batches, entries / 10, work / 1000])  # with milliseconds, all are near 1
