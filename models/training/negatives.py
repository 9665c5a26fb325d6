"""Negatives, drawn with replacement and shared by a whole batch.

By damped popularity for the sampled softmax, which corrects for it; uniformly for gBCE, whose calibration assumes it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.heads.base import Negatives, UniformNegatives
from models.layers.calibrated_binary_cross_entropy import compute_positive_power
from models.training.options import TrainingOptions

DAMPING = 0.5
"""Exponent of the counts: between uniform (0) and popularity (1), so that rare items are seen as negatives too."""


def create_sampler(
    options: TrainingOptions, counts: NDArray[np.int64], device: torch.device
) -> "PopularitySampler | UniformSampler | None":
    """None where the loss goes over the whole catalogue. `counts` (num_items,) in catalogue order."""
    how_many = options.resolve_num_negatives(len(counts))
    if how_many is None:
        return None
    if options.loss == "gbce":
        return UniformSampler(len(counts), how_many, options.calibration, device)
    return PopularitySampler(counts, how_many, device)


class PopularitySampler:
    """`counts` (num_items,) in catalogue order."""

    def __init__(self, counts: NDArray[np.int64], how_many: int, device: torch.device) -> None:
        weights = (counts.astype(np.float64) + 1.0) ** DAMPING
        probability = weights / weights.sum()
        self._how_many = how_many
        # float64: with millions of items the steps of a float32 sum would vanish
        self._steps = torch.from_numpy(np.cumsum(probability)).to(device)
        self._log_expected = torch.from_numpy(np.log(how_many * probability)).float().to(device)

    def draw(self) -> Negatives:
        points = torch.rand(self._how_many, dtype=torch.float64, device=self._steps.device)
        rows: Tensor = torch.searchsorted(self._steps, points).clamp_max(len(self._steps) - 1)
        return Negatives(rows + 1, self._log_expected[rows])


class UniformSampler:
    """`calibration` is the t of gBCE (arXiv 2308.07192), which draws for every position where this draws per batch."""

    def __init__(self, num_items: int, how_many: int, calibration: float, device: torch.device) -> None:
        self._num_items, self._how_many, self._device = num_items, how_many, device
        self._beta = compute_positive_power(how_many, num_items, calibration)

    def draw(self) -> UniformNegatives:
        items = torch.randint(1, self._num_items + 1, (self._how_many,), device=self._device)
        return UniformNegatives(items, self._beta)
