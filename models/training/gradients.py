"""Gradients of the ranks become one gradient: their sum, in one tensor and one exchange per step.

It knows no loss: who sums must have divided by what the whole batch holds, and not by what a rank holds.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from models.ranks import Ranks


class GradientSum:
    """Holds one more copy of the weights in size, and nothing for a process alone."""

    def __init__(self, parameters: Iterable[nn.Parameter], ranks: Ranks) -> None:
        self._ranks = ranks
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        if ranks.size == 1:
            return
        sizes = [parameter.numel() for parameter in self._parameters]
        # Behind the gradients: on how many ranks each parameter has one, and the loss.
        self._all = self._parameters[0].new_zeros(sum(sizes) + len(sizes) + 1)
        parts = self._all.split([*sizes, len(sizes), 1])
        self._parts = [part.view_as(weight) for part, weight in zip(parts, self._parameters, strict=False)]
        self._counts: Tensor = parts[-2]
        self._loss: Tensor = parts[-1]

    @torch.no_grad()
    def sum(self, loss: Tensor) -> Tensor:
        """Give every parameter the sum of its gradients over the ranks, the same bits on each; the sum of the losses.

        A parameter that no rank has a gradient for keeps none, as in one process: a zero would make AdamW move it.
        """
        if self._ranks.size == 1:
            return loss
        for part, weight in zip(self._parts, self._parameters, strict=True):
            if weight.grad is None:
                part.zero_()
            else:
                part.copy_(weight.grad)
        self._counts.copy_(torch.tensor([float(weight.grad is not None) for weight in self._parameters]))
        self._loss.copy_(loss)
        self._ranks.all_reduce_(self._all)
        for part, weight, count in zip(self._parts, self._parameters, self._counts.tolist(), strict=True):
            weight.grad = part if count else None
        return self._loss
