"""Latency model of batches, fitted online: seconds ≈ b + a · entries + c · cost.

`cost` is the part of an entry's run time that varies, such as the length of its history. The weights come from
recursive least squares with forgetting, so that a busier machine or another model is learned within a few hundred
batches.
"""

import numpy as np
from numpy.typing import NDArray

FORGETTING_FACTOR = 0.99
"""Weight of a batch relative to the batch after it: about the last hundred batches count."""
MIN_BATCHES = 20
"""Batches that the model must observe before its predictions are used."""
SCALE: NDArray[np.float64] = np.array([1.0, 0.1, 0.001])
"""Scale of batches, entries and cost, so that weights in milliseconds are near 1."""
INITIAL_VARIANCE = 1e6
"""Variance of the weights before the first batch."""


class BatchLatencyModel:
    """Predicts how long batches run; `mean_cost` is the average cost of recent entries."""

    def __init__(self) -> None:
        self._weights = np.zeros(3)
        self._milliseconds = [0.0, 0.0, 0.0]  # the weights without their scale, for predictions without arrays
        self._covariance = np.eye(3) * INITIAL_VARIANCE
        self._observed_batches = 0
        self.mean_cost = 0.0

    @property
    def is_ready(self) -> bool:
        return self._observed_batches >= MIN_BATCHES

    def observe(self, entries: int, cost: float, seconds: float) -> None:
        """Update the weights with one finished batch."""
        features = _build_features(1, entries, cost)
        projected = self._covariance @ features
        gain = projected / (FORGETTING_FACTOR + features @ projected)
        self._weights = self._weights + gain * (1000 * seconds - features @ self._weights)
        covariance = self._covariance - np.outer(gain, projected)
        covariance = (covariance + covariance.T) / 2  # rounding must not make it asymmetric
        # If all batches have the same shape, forgetting would inflate the variance of other directions without bound.
        is_bounded = np.trace(covariance) < INITIAL_VARIANCE
        self._covariance = covariance / FORGETTING_FACTOR if is_bounded else covariance
        self._milliseconds = (self._weights * SCALE).tolist()
        step = max(1 - FORGETTING_FACTOR, 1 / (self._observed_batches + 1))
        self.mean_cost += step * (cost / entries - self.mean_cost)
        self._observed_batches += 1

    def predict(self, batches: int, entries: int, cost: float) -> float:
        """Predict the seconds that `batches` run one after another with these totals; never below 0."""
        per_batch, per_entry, per_cost = self._milliseconds
        return max(0.0, batches * per_batch + entries * per_entry + cost * per_cost) / 1000


def _build_features(batches: int, entries: int, cost: float) -> NDArray[np.float64]:
    features: NDArray[np.float64] = np.array([batches, entries, cost]) * SCALE
    return features
