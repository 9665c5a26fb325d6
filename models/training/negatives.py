"""Negatives for the sampled softmax: items drawn with replacement by damped popularity, shared by a whole batch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.heads.base import Negatives

DAMPING = 0.5
"""Exponent of the counts: between uniform (0) and popularity (1), so that rare items are seen as negatives too."""


class NegativeSampler:
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
