"""How weights move: AdamW, and the running average of where they have been."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.training.options import TrainingOptions


def create_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.AdamW:
    """Matrices decay; biases and norms (vectors) do not."""
    weights = [p for p in model.parameters() if p.requires_grad]
    matrices = {"params": [p for p in weights if p.ndim > 1], "weight_decay": options.weight_decay}
    vectors = {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0}
    return torch.optim.AdamW([matrices, vectors], lr=options.learning_rate)


def running_average(keep: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential, but at step n with a memory of some n steps at most: the first weights must not linger."""

    def average(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        return averaged.lerp(current, 1.0 - min(keep, (1.0 + float(steps)) / (10.0 + float(steps))))

    return average
