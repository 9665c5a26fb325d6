"""Cost of a training step, measured on a few steps: the basis for planning a run with a time limit.

A step takes a fixed time (optimizer and running average move all weights), a time per target (embedding and encoder)
and a time per score (targets × candidates of the loss). Three kinds of steps determine the three.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from models.build import build_model
from models.config import ModelConfig
from models.data.dataset import Dataset
from models.data.sampling import sample_users
from models.data.splits import count_training_targets
from models.training.options import RunContext, TrainingOptions
from models.training.trainer import Trainer

FEW_NEGATIVES, MANY_NEGATIVES = 1024, 4096
SMALL_BATCH_SHARE = 4
PLANS, ROUNDS = 3, 2
"""Different batches that are timed, and how often each; the best time of each counts."""
SAMPLE_USERS = 8192
"""Users of the timed batches; whole logs would take longer to prepare than the steps."""


@dataclass(frozen=True, slots=True)
class StepTiming:
    """Mean targets and seconds of the timed steps, against `candidates` items."""

    targets: float
    seconds: float
    candidates: int


@dataclass(frozen=True, slots=True)
class StepCost:
    """Seconds of a step of n targets against k candidates: fixed_s + n · (target_s + k · score_s).

    `batch_targets` are the mean targets of a step at `batch_cells`; `epoch_targets` those of an epoch.
    """

    fixed_s: float
    target_s: float
    score_s: float
    batch_cells: int
    batch_targets: float
    epoch_targets: int

    def estimate_step_s(self, cells: int, candidates: int) -> float:
        targets = self.batch_targets * cells / self.batch_cells
        return self.fixed_s + targets * (self.target_s + candidates * self.score_s)

    def estimate_targets_per_s(self, cells: int, candidates: int) -> float:
        return self.batch_targets * cells / self.batch_cells / self.estimate_step_s(cells, candidates)

    def estimate_epoch_s(self, cells: int, candidates: int) -> float:
        return self.epoch_targets / self.estimate_targets_per_s(cells, candidates)


def fit_costs(
    reference: StepTiming, more_candidates: StepTiming | None, fewer_targets: StepTiming | None
) -> tuple[float, float, float]:
    """Solve for the seconds per step, target and score, none of them negative; a missing timing sets its cost to 0."""
    slope = reference.seconds / reference.targets
    if fewer_targets is not None and fewer_targets.targets < reference.targets:
        difference = (reference.seconds - fewer_targets.seconds) / (reference.targets - fewer_targets.targets)
        slope = min(max(difference, 0.0), slope)
    score_s = 0.0
    if more_candidates is not None:
        scores = reference.targets * (more_candidates.candidates - reference.candidates)
        score_s = min(max(0.0, (more_candidates.seconds - reference.seconds) / scores), slope / reference.candidates)
    return reference.seconds - slope * reference.targets, slope - reference.candidates * score_s, score_s


class StepTimer:
    """Times training steps of a model that is thrown away afterwards.

    No further step of a kind starts after `budget_s` seconds.
    """

    def __init__(
        self, dataset: Dataset, config: ModelConfig, options: TrainingOptions, context: RunContext, budget_s: float
    ) -> None:
        self._dataset, self._options, self._context = sample_users(dataset, SAMPLE_USERS), options, context
        self._budget_s = budget_s
        self._epoch_targets = max(1, count_training_targets(dataset))
        self._model = build_model(config, dataset.catalogue.num_items)

    def make_trainer(self, **changes: int) -> Trainer:
        options = dataclasses.replace(self._options, **changes)  # type: ignore[arg-type]
        return Trainer(self._model, self._dataset, options, self._context)

    def measure(self, *, with_candidates: bool, with_batches: bool) -> StepCost:
        """Measure the costs; those of scores and of the fixed time only where the plan may choose either."""
        num_items = self._dataset.catalogue.num_items
        few = {"num_negatives": FEW_NEGATIVES if num_items > FEW_NEGATIVES else 0} if with_candidates else {}
        trainer = self.make_trainer(**few)
        reference = self._time_steps(trainer)
        more_candidates = fewer_targets = None
        if with_candidates and num_items > FEW_NEGATIVES:
            many = MANY_NEGATIVES if num_items > MANY_NEGATIVES else 0
            more_candidates = self._time_steps(self.make_trainer(num_negatives=many))
        cells = self._options.batch_cells
        if with_batches and cells >= SMALL_BATCH_SHARE:
            fewer_targets = self._time_steps(self.make_trainer(**few, batch_cells=cells // SMALL_BATCH_SHARE))
        costs = fit_costs(reference, more_candidates, fewer_targets)
        return StepCost(*costs, cells, reference.targets, self._epoch_targets)

    def _time_steps(self, trainer: Trainer) -> StepTiming:
        """Time the same few batches in every round, after one step that warms up."""
        trainer.model.train()
        plans = trainer.batches.plan_epoch(1)
        chosen_plans = [plans[row] for row in np.linspace(0, len(plans) - 1, min(PLANS, len(plans))).astype(int)]
        seconds = np.full(len(chosen_plans), np.inf)
        total_s = 0.0
        trainer.train_step(chosen_plans[0])
        for turn in range(ROUNDS * len(chosen_plans)):
            row = turn % len(chosen_plans)
            started_at = self._context.clock()
            trainer.train_step(chosen_plans[row])
            elapsed_s = self._context.ranks.broadcast_object(self._context.clock() - started_at)
            seconds[row] = min(seconds[row], elapsed_s)
            total_s += elapsed_s
            if total_s > self._budget_s:
                break
        num_items = self._dataset.catalogue.num_items
        targets = [trainer.batches.count_targets(plan) for plan in chosen_plans]
        is_timed = np.isfinite(seconds)
        return StepTiming(
            float(np.mean(np.array(targets)[is_timed])),
            max(1e-9, float(seconds[is_timed].mean())),
            trainer.options.resolve_num_negatives(num_items) or num_items,
        )
