"""Samplers of negatives, with replacement, shared by a whole batch.

Damped popularity for the sampled softmax, which corrects for it; uniform for gBCE, whose calibration assumes it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.heads.base import Negatives, UniformNegatives
from models.layers.calibrated_binary_cross_entropy import compute_positive_power
from models.training.options import TrainingOptions

DAMPING = 0.5
"""Exponent of the counts, between uniform (0) and popularity (1), so that rare items are sampled too."""


def create_sampler(
    options: TrainingOptions, counts: NDArray[np.int64], device: torch.device
) -> "PopularitySampler | UniformSampler | None":
    """Create the sampler of a loss; None for the full softmax. `counts` (num_items,) in catalogue order."""
    num_negatives = options.resolve_num_negatives(len(counts))
    if num_negatives is None:
        return None
    if options.loss == "gbce":
        return UniformSampler(len(counts), num_negatives, options.calibration, device)
    return PopularitySampler(counts, num_negatives, device, merges_repeats=options.fused)


class PopularitySampler:
    """Samples items by damped popularity; `counts` (num_items,) in catalogue order.

    `merges_repeats`: an item that is drawn n times is one candidate with n times the weight, which is the same loss.
    """

    def __init__(
        self, counts: NDArray[np.int64], num_negatives: int, device: torch.device, *, merges_repeats: bool = False
    ) -> None:
        self._merges_repeats = merges_repeats
        weights = (counts.astype(np.float64) + 1.0) ** DAMPING
        probability = weights / weights.sum()
        self._num_negatives = num_negatives
        # float64: with millions of items the steps of a float32 cumulative sum would vanish
        self._steps = torch.from_numpy(np.cumsum(probability)).to(device)
        self._log_expected = torch.from_numpy(np.log(num_negatives * probability)).float().to(device)

    def draw(self) -> Negatives:
        points = torch.rand(self._num_negatives, dtype=torch.float64, device=self._steps.device)
        rows: Tensor = torch.searchsorted(self._steps, points).clamp_max(len(self._steps) - 1)
        if self._merges_repeats:
            rows, repeats = rows.unique(return_counts=True)
            return Negatives(rows + 1, self._log_expected[rows] - repeats.log(), is_sorted=True)
        return Negatives(rows + 1, self._log_expected[rows])


class UniformSampler:
    """Samples items uniformly, once per batch.

    `calibration` is the t of gBCE (arXiv 2308.07192); the paper samples for every position instead.
    """

    def __init__(self, num_items: int, num_negatives: int, calibration: float, device: torch.device) -> None:
        self._num_items, self._num_negatives, self._device = num_items, num_negatives, device
        self._beta = compute_positive_power(num_negatives, num_items, calibration)

    def draw(self) -> UniformNegatives:
        items = torch.randint(1, self._num_items + 1, (self._num_negatives,), device=self._device)
        return UniformNegatives(items, self._beta)
