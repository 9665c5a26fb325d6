"""One training step: a batch in, updated weights out. Each rank computes a share of the batch; all update alike.

Batch, negatives and loss are the same for any number of ranks: the loss is a mean over the targets of the whole batch,
and gradients are summed over the ranks in one tensor and one exchange per step.
"""

import hashlib
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.data.sequences import TrainingBatches
from models.device import select_training_dtype
from models.ranks import Ranks
from models.recommender import SequentialRecommender
from models.training.negatives import PopularitySampler, UniformSampler
from models.training.options import RunContext, TrainingOptions

BatchPlan = NDArray[np.int64]


class TrainingStep:
    """Computes the loss of a batch and updates the model; `model` must be on the context's device."""

    def __init__(
        self,
        model: SequentialRecommender,
        batches: TrainingBatches,
        sampler: PopularitySampler | UniformSampler | None,
        optimizer: torch.optim.Optimizer,
        context: RunContext,
        *,
        clip_norm: float,
    ) -> None:
        self._model, self._batches, self._sampler, self._optimizer = model, batches, sampler, optimizer
        self._device, self._ranks = context.device, context.ranks
        self._dtype = select_training_dtype(context.device)
        self._clip_norm = clip_norm
        self._gradients = GradientSum(model.parameters(), context.ranks)

    def run(self, plan: BatchPlan, seed: list[int]) -> float:
        """Update the weights and return the loss of the batch before the update.

        All random choices derive from `seed`. Negatives are the same on all ranks, but dropout is not: its masks must
        differ between rows, and every rank has other rows.
        """
        _seed_torch(seed)
        negatives = None if self._sampler is None else self._sampler.draw()
        if self._ranks.size > 1:
            _seed_torch([*seed, self._ranks.rank])
        self._optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self._device)
        local_plan = plan[self._ranks.shard]
        if len(local_plan):  # a batch may have fewer rows than there are ranks
            batch = self._batches.build_batch(local_plan)
            weights = None if batch.weights is None else batch.weights.to(self._device)
            with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
                mean = self._model.loss(
                    batch.sequences.to(self._device), batch.targets.to(self._device), negatives, weights
                )
            loss = mean * (self._batches.sum_weights(local_plan) / self._batches.sum_weights(plan))
            loss.backward()
        total = self._gradients.reduce(loss)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._clip_norm)
        self._optimizer.step()
        return total.item()

    def assert_equal_weights(self) -> None:
        """Raise ValueError on all ranks if their weights have diverged; gradient sums would be wrong from then on."""
        if self._ranks.size > 1:
            digest = hashlib.sha256()
            for weight in self._model.parameters():
                digest.update(weight.detach().cpu().numpy().tobytes())
            self._ranks.assert_equal_across_ranks("weights (different kinds of processors?)", digest.hexdigest())


class GradientSum:
    """Sums gradients over the ranks; takes the size of one more copy of the weights, nothing in a single process.

    The caller must have divided the loss by the targets of the whole batch, not by those of one rank.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], ranks: Ranks) -> None:
        self._ranks = ranks
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        if ranks.size == 1:
            return
        sizes = [parameter.numel() for parameter in self._parameters]
        # After the gradients: on how many ranks each parameter has one, and the loss.
        self._buffer = self._parameters[0].new_zeros(sum(sizes) + len(sizes) + 1)
        parts = self._buffer.split([*sizes, len(sizes), 1])
        self._parts = [part.view_as(weight) for part, weight in zip(parts, self._parameters, strict=False)]
        self._counts: Tensor = parts[-2]
        self._loss: Tensor = parts[-1]

    @torch.no_grad()
    def reduce(self, loss: Tensor) -> Tensor:
        """Replace every gradient by its sum over the ranks, bit-identical on each, and return the summed loss.

        A parameter without a gradient on any rank keeps none, as in a single process: AdamW would move it for a zero.
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
        self._ranks.all_reduce_(self._buffer)
        for part, weight, count in zip(self._parts, self._parameters, self._counts.tolist(), strict=True):
            weight.grad = part if count else None
        return self._loss


def create_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.AdamW:
    """AdamW with weight decay for matrices, but not for biases and norms (vectors)."""
    weights = [p for p in model.parameters() if p.requires_grad]
    matrices = {"params": [p for p in weights if p.ndim > 1], "weight_decay": options.weight_decay}
    vectors = {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0}
    return torch.optim.AdamW([matrices, vectors], lr=options.learning_rate, fused=options.fused or None)


Tensors = tuple[Tensor, ...] | list[Tensor]


def make_running_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential moving average of the weights; at step n its window is at most about n steps.

    The shorter window at the start lets the average forget the initial weights.
    """

    def average(averaged: Tensors, current: Tensors, steps: Tensor | int) -> None:
        torch._foreach_lerp_(averaged, current, 1.0 - min(decay, (1.0 + float(steps)) / (10.0 + float(steps))))

    return average


def _seed_torch(seed: list[int]) -> None:
    torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
