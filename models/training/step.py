"""One step: a batch in, weights moved. The ranks compute a share of the batch each, and move alike.

The batch is the same for any number of ranks, and so are its negatives and the loss: a mean over the targets of the
whole batch, whoever holds them. It knows nothing of epochs, time and files.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from models.data.sequences import TrainingBatches
from models.device import training_dtype
from models.ranks import Ranks
from models.recommender import SequentialRecommender
from models.training.gradients import GradientSum
from models.training.negatives import PopularitySampler, UniformSampler

BatchPlan = NDArray[np.int64]


class TrainingStep:
    """`model` is on `device`; `optimiser` has its weights."""

    def __init__(
        self,
        model: SequentialRecommender,
        batches: TrainingBatches,
        sampler: PopularitySampler | UniformSampler | None,
        optimiser: torch.optim.Optimizer,
        device: torch.device,
        *,
        clip_norm: float,
        ranks: Ranks,
    ) -> None:
        self._model, self._batches, self._sampler, self._optimiser = model, batches, sampler, optimiser
        self._device, self._dtype = device, training_dtype(device)
        self._clip_norm = clip_norm
        self._ranks = ranks
        self._gradients = GradientSum(model.parameters(), ranks)

    def take(self, plan: BatchPlan, seed: list[int]) -> float:
        """The loss of the batch before the step. Every random choice comes from `seed`.

        Negatives are the same on all ranks, dropout is not: it must differ from row to row, and rows are shared out.
        """
        _seed_torch(seed)
        negatives = None if self._sampler is None else self._sampler.draw()
        if self._ranks.size > 1:
            _seed_torch([*seed, self._ranks.rank])
        self._optimiser.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self._device)
        mine = plan[self._ranks.shard]
        if len(mine):  # a batch may have fewer rows than there are ranks
            batch = self._batches.batch(mine)
            with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
                mean = self._model.loss(batch.sequences.to(self._device), batch.targets.to(self._device), negatives)
            loss = mean * (self._learned(mine) / self._learned(plan))
            loss.backward()
        total = self._gradients.sum(loss)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._clip_norm)
        self._optimiser.step()
        return total.item()

    def assert_equal_weights(self) -> None:
        """ValueError on a rank whose weights have parted from the first one's: nothing after that would be a sum."""
        if self._ranks.size > 1:
            digest = hashlib.sha256()
            for weight in self._model.parameters():
                digest.update(weight.detach().cpu().numpy().tobytes())
            self._ranks.assert_equal_across_ranks(
                "weights (are processors of different kinds at work?)", digest.hexdigest()
            )

    def _learned(self, plan: BatchPlan) -> int:
        """How many targets the model's loss is the mean of."""
        return self._batches.num_targets(plan) if self._model.encoder.causal else len(plan)


def _seed_torch(seed: list[int]) -> None:
    torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
