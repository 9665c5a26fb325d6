"""Training options that suit a measured step and the time for training; the rules and their runs are in models/LOG.md.

- Loss: the largest number of negatives with which enough epochs fit; about a thousand learn as well per target as the
  full catalogue, and cost less.
- Batch: as large as the options say, or smaller if too few steps would fit.
- Schedule: a high learning rate, the higher the fewer targets an item gets, that decays linearly over the time.
- Second stage: a share of the learning rate, the higher one where items are often targets.
- Validation: a few times per run, on a sample, in a small share of the time.
"""

from collections.abc import Collection
from typing import Any

from models.evaluation.speed import EvaluationSpeed
from models.training.options import InitialVectors, TrainingOptions
from models.training.step_cost import FEW_NEGATIVES, StepCost

PLANNABLE = ("num_negatives", "batch_cells", "learning_rate", "schedule", "epochs", "initial_vectors")
"""Options that a plan sets unless the user did."""

LINEAR_RATE, RATE_TARGETS, MAX_RATE_FACTOR = 2e-3, 200, 4.0
"""The learning rate of `RATE_TARGETS` per item or more; with fewer it rises with their inverse root, up to a factor."""
SECOND_STAGE_RATE, DENSE_SECOND_STAGE_RATE = 0.1, 0.4
"""Shares of the learning rate for the second stage: usual, and with `RATE_TARGETS` per item in each epoch."""
MAX_EPOCHS = 60
"""More epochs than this overfit on small logs; the run then ends before its limit."""
MIN_EPOCHS = 30
"""More negatives than the fewest are used only if so many epochs still fit."""
MIN_STEPS = 2000
"""Batches become smaller until so many steps fit …"""
MIN_BATCH_SPEED = 0.7
"""… or until the targets per second fall below this share."""
BATCH_DIVISORS = (1, 2, 4)
MAX_COUNTED_EPOCHS, MAX_COUNTING_SHARE = 10, 0.1
"""Initial vectors from counts: most epochs of a run that has them, and their largest share of the limit."""
WARMUP_SHARE = 0.1
VALIDATION_SHARE = 0.05
MAX_VALIDATIONS = 10
MIN_VALIDATION_CASES = 500


def choose_options(
    cost: StepCost,
    options: TrainingOptions,
    num_items: int,
    stage_s: float,
    evaluation: EvaluationSpeed,
    planned: Collection[str],
) -> tuple[dict[str, Any], float]:
    """Return changed fields of the options, and the epochs that fit into the `stage_s` seconds of the first stage."""
    choices: dict[str, Any] = {"fused": True}
    train_s = stage_s * (1 - VALIDATION_SHARE)
    negatives = options.resolve_num_negatives(num_items)
    if "num_negatives" in planned and options.loss == "softmax":
        negatives = choose_negatives(cost, options.batch_cells, num_items, train_s)
        choices["num_negatives"] = negatives or 0
    cells = options.batch_cells
    if "batch_cells" in planned:
        cells = choices["batch_cells"] = choose_batch_cells(cost, negatives or num_items, train_s)
    if "schedule" in planned:
        choices["schedule"] = "linear"
    if "epochs" in planned:
        choices["epochs"] = MAX_EPOCHS
    fitting_epochs = train_s / cost.estimate_epoch_s(cells, negatives or num_items)
    epochs = min(fitting_epochs, choices.get("epochs", options.epochs))
    num_steps = epochs / fitting_epochs * train_s / cost.estimate_step_s(cells, negatives or num_items)
    if "learning_rate" in planned and choices.get("schedule", options.schedule) == "linear":
        choices["learning_rate"] = choose_rate(epochs * cost.epoch_targets / num_items)
    choices["second_stage_rate"] = choose_second_stage_rate(cost.epoch_targets / num_items)
    choices["warmup_steps"] = min(options.warmup_steps, max(1, int(WARMUP_SHARE * num_steps)))
    affordable = int(2 * VALIDATION_SHARE * stage_s / evaluation.estimate_seconds(MIN_VALIDATION_CASES))
    validations = max(1, min(MAX_VALIDATIONS, round(epochs), affordable))
    cases = evaluation.count_cases_in(VALIDATION_SHARE * stage_s / validations)
    choices["validation_cases"] = min(options.validation_cases, max(MIN_VALIDATION_CASES, cases))
    choices["validate_every"] = max(1, round(epochs / validations))
    return choices, epochs


def choose_initial_vectors(epochs: float, time_share: float) -> InitialVectors:
    """Choose counts for a short run, if the given share of the time suffices for them."""
    return "counts" if epochs <= MAX_COUNTED_EPOCHS and time_share <= MAX_COUNTING_SHARE else "random"


def choose_rate(targets_per_item: float) -> float:
    """Choose a higher rate where an item is rarely a target, so that its vector moves far enough; two digits."""
    factor = min(MAX_RATE_FACTOR, max(1.0, (RATE_TARGETS / max(1.0, targets_per_item)) ** 0.5))
    return float(f"{LINEAR_RATE * factor:.1e}")


def choose_second_stage_rate(epoch_targets_per_item: float) -> float:
    """Choose a higher share of the rate where each item has many targets, as the step of a rare one is mostly noise."""
    return DENSE_SECOND_STAGE_RATE if epoch_targets_per_item >= RATE_TARGETS else SECOND_STAGE_RATE


def choose_negatives(cost: StepCost, cells: int, num_items: int, train_s: float) -> int | None:
    """Choose the largest number of candidates with which `MIN_EPOCHS` fit, else the fewest; None for the catalogue."""
    counts: list[int | None] = [None]
    while (count := FEW_NEGATIVES * 4 ** (len(counts) - 1)) < num_items / 2:
        counts.insert(0 if len(counts) == 1 else len(counts) - 1, count)
    for count in reversed(counts):
        if cost.estimate_epoch_s(cells, count or num_items) * MIN_EPOCHS <= train_s:
            return count
    return counts[0]


def choose_batch_cells(cost: StepCost, candidates: int, train_s: float) -> int:
    """Choose the largest batch with which `MIN_STEPS` fit, or the smallest one that is not much slower per target."""
    full_speed = cost.estimate_targets_per_s(cost.batch_cells, candidates)
    best = cost.batch_cells
    for divisor in BATCH_DIVISORS:
        cells = max(1, cost.batch_cells // divisor)
        if cost.estimate_targets_per_s(cells, candidates) < MIN_BATCH_SPEED * full_speed:
            break
        best = cells
        if train_s / cost.estimate_step_s(cells, candidates) >= MIN_STEPS:
            break
    return best
