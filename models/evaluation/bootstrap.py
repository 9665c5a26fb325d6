"""How sure a difference between two models is, when both were asked about the same users."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CHUNK = 250  # resamples drawn at once


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two means over users; the interval holds 95 % of the resampled differences."""

    mean: float
    low: float
    high: float

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def bootstrap_difference(one: NDArray[np.float64], other: NDArray[np.float64], *, seed: int = 0) -> Difference:
    """Mean of `one` − mean of `other` over the same users in the same order, both (N,), by paired bootstrap.

    Only the choice of users is resampled: what another seed of the training would have changed is in it as far as
    `one` and `other` are means over seeds.
    """
    if one.shape != other.shape or not len(one):
        raise ValueError(f"a paired comparison needs the same users on both sides, not {one.shape} and {other.shape}")
    rng = np.random.default_rng(seed)
    gap = one - other
    means = [gap[rng.integers(0, len(gap), (CHUNK, len(gap)))].mean(axis=1) for _ in range(RESAMPLES // CHUNK)]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Difference(float(gap.mean()), float(low), float(high))
