"""Plan a run with a time limit from measurements.

The limit covers the whole run: reading the log, planning, all stages of training, evaluation and export. The time for
the last two is reserved first, from a measured evaluation; a few timed steps then choose the options that suit the
remaining time (models/training/choices.py).
"""

import dataclasses

import torch

from models.build import build_model, complete_config
from models.config import ModelConfig, Part
from models.data.dataset import Dataset
from models.data.splits import count_cases
from models.embeddings.assignment import estimate_quantization_s
from models.embeddings.full import FullEmbedding
from models.evaluation.baselines import compute_time_limit
from models.evaluation.speed import EvaluationSpeed, measure_evaluation
from models.predictor import Predictor
from models.recommender import SequentialRecommender
from models.runners.choice import choose_runner
from models.threads import choose_threads
from models.training.choices import choose_initial_vectors, choose_options
from models.training.initial_vectors import estimate_initial_vectors_s
from models.training.options import FIRST_STAGE_SHARE, RunContext, TrainingOptions
from models.training.plan import TrainingPlan, apply_choices, load_choices, save_choices
from models.training.step_cost import StepCost, StepTimer

TEST_CASES = 100_000
"""Largest number of users, evenly spaced, in the final evaluation: the standard error is below a thousandth."""
MIN_TEST_CASES = 200
"""Smallest sample of the final evaluation, even if it exceeds the limit."""
EVALUATION_SHARE = 0.1
"""Largest share of the limit that is reserved for the final evaluation."""
MIN_EVALUATION_SHARE = 0.02
"""Share of the limit that the final evaluation may use in any case: a sample saves less than it costs in certainty."""
EVALUATION_MARGIN = 1.5
"""Factor on the measured time of an evaluation, for other processes and longer histories."""
EXPORT_S, EXPORT_ITEM_S = 2.0, 4e-5
"""Time to write artifact and report: fixed, and per item."""
BASELINES_SHARE = 0.1
"""Largest share of the limit that is reserved for the baselines; they count as part of the export."""
TRANSITIONS_S, TRANSITIONS_EVENT_S, TRANSITIONS_SHARE = 6.0, 3e-6, 0.2
"""Time to fit a transition memory and to count each event, and their largest share of the limit."""
MIN_TRAINING_S = 0.01
TIMING_SHARE, MAX_TIMING_S = 0.015, 2.0
"""Time for each kind of timed step: a share of the limit, and at most so many seconds."""


def make_plan(dataset: Dataset, config: ModelConfig, options: TrainingOptions, context: RunContext) -> TrainingPlan:
    """Measure and plan; without a limit the options stay, except those of a planned run that is resumed."""
    num_items = dataset.catalogue.num_items
    choices = load_choices(context)
    if options.max_minutes is None:
        return TrainingPlan(apply_choices(options, choices, context), choices, torch.get_num_threads(), num_items)
    limit_s = 60 * options.max_minutes
    torch.manual_seed(options.seed)
    config = complete_config(config, dataset.catalogue)
    model = build_model(config, num_items)
    is_staged, is_trained = model.embedding.starts_from_full_table, model.head.trainable
    speed = measure_test(make_evaluation_predictor(model, context), dataset, options, context)
    evaluation_s = EVALUATION_MARGIN * speed.estimate_seconds(min(TEST_CASES, count_cases(dataset, "test")))
    evaluation_s = min(EVALUATION_SHARE * limit_s, evaluation_s)
    export_s = EXPORT_S + EXPORT_ITEM_S * num_items + min(BASELINES_SHARE * limit_s, compute_time_limit(limit_s))
    cost = None
    if is_trained and context.planned and not choices:
        cost = _measure_steps(
            dataset, dataclasses.replace(config, embedding=Part("full")) if is_staged else config, options, context
        )
    spent_s = context.compute_spent_s()
    transitions_s = TRANSITIONS_S + TRANSITIONS_EVENT_S * len(dataset.items) if config.transitions else 0.0
    transitions_s = min(TRANSITIONS_SHARE * limit_s, transitions_s)
    training_s = max(MIN_TRAINING_S, limit_s - spent_s - transitions_s - evaluation_s - export_s)
    expected_epochs = None
    if cost is not None:
        stage_s = _compute_first_stage_s(training_s, num_items) if is_staged else training_s
        choices, expected_epochs = choose_options(cost, options, num_items, stage_s, speed, context.planned)
        if has_full_table(model):
            initial_s = estimate_initial_vectors_s(len(dataset.items), num_items)
            choices["initial_vectors"] = choose_initial_vectors(expected_epochs, initial_s / limit_s)
            if apply_choices(options, choices, context).initial_vectors == "counts":
                training_s = max(MIN_TRAINING_S, training_s - initial_s)
        choices = context.ranks.broadcast_object(choices)
        save_choices(context, choices)
    return TrainingPlan(
        dataclasses.replace(apply_choices(options, choices, context), max_minutes=training_s / 60),
        choices,
        torch.get_num_threads(),
        num_items,
        limit_s,
        spent_s,
        evaluation_s,
        export_s,
        speed,
        cost,
        expected_epochs,
    )


def _compute_first_stage_s(training_s: float, num_items: int) -> float:
    return max(MIN_TRAINING_S, min(FIRST_STAGE_SHARE * training_s, training_s - estimate_quantization_s(num_items)))


def has_full_table(model: SequentialRecommender) -> bool:
    """Whether a full table of item vectors is trained, if only in the first of two stages."""
    return model.embedding.starts_from_full_table or isinstance(model.embedding, FullEmbedding)


def make_evaluation_predictor(model: SequentialRecommender, context: RunContext) -> Predictor:
    """Native code encodes on a CPU where it can, several times faster; the weights must not change afterwards."""
    runner = choose_runner(model, context.device) if context.device.type == "cpu" else None
    return Predictor(model, context.device, runner)


def make_test_predictor(model: SequentialRecommender, context: RunContext) -> Predictor:
    """As in a service: on a CPU with the fastest scorers, which takes up to a second to choose."""
    predictor = make_evaluation_predictor(model, context)
    if context.device.type == "cpu":
        predictor.choose_scorers()
    return predictor


def measure_test(
    predictor: Predictor, dataset: Dataset, options: TrainingOptions, context: RunContext
) -> EvaluationSpeed:
    """Measure the speed of the final evaluation."""
    return measure_evaluation(
        predictor, dataset, "test", keep_seen=options.keep_seen, ranks=context.ranks, clock=context.clock
    )


def choose_test_limit(
    plan: TrainingPlan, predictor: Predictor, dataset: Dataset, options: TrainingOptions, context: RunContext
) -> int:
    """Choose the number of test users that can be evaluated in the remaining time, evenly spaced over all users."""
    if plan.limit_s is None:
        return TEST_CASES
    speed = measure_test(predictor, dataset, options, context)
    # A run that is resumed has used time before; what it has reserved is left.
    remaining_s = (plan.limit_s - context.compute_spent_s() - plan.export_s) / EVALUATION_MARGIN
    budget_s = max(remaining_s, MIN_EVALUATION_SHARE * plan.limit_s)
    return min(TEST_CASES, max(MIN_TEST_CASES, speed.count_cases_in(budget_s)))


def _measure_steps(dataset: Dataset, config: ModelConfig, options: TrainingOptions, context: RunContext) -> StepCost:
    assert options.max_minutes is not None
    budget_s = min(MAX_TIMING_S, TIMING_SHARE * 60 * options.max_minutes)
    timer = StepTimer(dataset, config, dataclasses.replace(options, fused=True), context, budget_s)
    if "threads" in context.planned and context.device.type == "cpu" and context.ranks.size == 1:
        trainer = timer.make_trainer()
        first_batch = trainer.batches.plan_epoch(1)[0]
        choose_threads(lambda: trainer.train_step(first_batch), budget_s=budget_s, clock=context.clock)
    return timer.measure(
        with_candidates=options.loss == "softmax" and "num_negatives" in context.planned,
        with_batches="batch_cells" in context.planned,
    )
