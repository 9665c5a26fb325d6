"""Bootstrap over users: the confidence interval of the paired difference between two models."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES, SEED = 10_000, 0
CHUNK = 250  # resamples per vectorized draw


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of two means over users, with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], *, resamples: int = RESAMPLES
) -> Difference:
    """Estimate mean(first) − mean(second) over the same users in the same order, both (N,), by paired bootstrap.

    Only users are resampled: variance between training seeds is included as far as the inputs are means over seeds.
    """
    if first.shape != second.shape or not len(first):
        raise ValueError(f"a paired comparison needs the same users on both sides (got {first.shape}, {second.shape})")
    rng = np.random.default_rng(SEED)
    gap = first - second
    means = [gap[rng.integers(0, len(gap), (CHUNK, len(gap)))].mean(axis=1) for _ in range(resamples // CHUNK)]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Difference(float(gap.mean()), float(low), float(high))
