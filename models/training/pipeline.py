"""From a prepared dataset to an artifact that can serve: train, evaluate on the test split, export."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.artifact import save_artifact
from models.batch import History
from models.config import ModelConfig
from models.data.dataset import Dataset
from models.data.funnel import Funnel
from models.data.splits import count_cases, select_training_histories
from models.evaluation.baselines import compute_time_limit
from models.evaluation.evaluate import Evaluation, evaluate
from models.golden import NUM_GOLDEN_HISTORIES
from models.manifest import MANIFEST
from models.progress import print_line
from models.ranks import Ranks
from models.recommender import SequentialRecommender
from models.training.assessment import TrainingAssessment, assess_training
from models.training.checkpoint import CHECKPOINT_FILE, EpochRecord
from models.training.disk_space import check_disk_space
from models.training.options import RunContext, TrainingOptions
from models.training.plan import PLAN_FILE, TrainingPlan
from models.training.planning import choose_test_limit, make_plan, make_test_predictor
from models.training.report import TrainingReport, write_training_report
from models.training.run_record import RUN_FILE
from models.training.stages import train_model
from models.training.transitions import add_transitions

TRAINING_FOLDER = "training"
"""Subfolder of the artifact for curve, report and log of the training; not part of the version."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained and exported model.

    `best` is the epoch that the weights come from; without training it is None and `curve` is empty. `bytes_by_part`
    counts weights. `test` has a sample of the `num_test_users` where their number or a time limit requires it.
    `assessment` is empty on ranks other than the first.
    """

    version: str
    test: Evaluation
    num_test_users: int
    curve: list[EpochRecord]
    best: EpochRecord | None
    bytes_by_part: dict[str, int]
    assessment: TrainingAssessment
    plan: TrainingPlan


def train_artifact(
    dataset: Dataset,
    config: ModelConfig,
    options: TrainingOptions,
    context: RunContext,
    *,
    overwrite: bool = False,
    details: Mapping[str, Any] | None = None,
    funnel: Funnel | None = None,
) -> TrainingResult:
    """Train `config` on `dataset` and export a verified artifact to the context's folder, on the first rank only.

    `max_minutes` cover everything since the context's start, evaluation and export included. `details` are further
    entries of the manifest; `funnel` is for the report. ValueError, before training starts, if the folder already holds
    an artifact and `overwrite` is False.
    """
    folder, ranks = context.folder, context.ranks
    _check_folder(folder, config, dataset, ranks, overwrite=overwrite)
    training_context = context.in_subfolder(TRAINING_FOLDER)
    if ranks.is_first and not context.resume:  # what an interrupted run left: resuming this one would read it
        _remove_files(training_context.folder, CHECKPOINT_FILE, PLAN_FILE)
    plan = make_plan(dataset, config, options, training_context)
    for line in plan.format_lines():
        print_line(line)
    started_at = context.clock()
    trained_config = dataclasses.replace(config, transitions=0)  # the memory takes no part in the training itself
    model, curve, best = train_model(dataset, trained_config, plan.options, training_context)
    if config.transitions:
        add_transitions(model, dataset, config.transitions, options, context)
    # All stages are trained; the weights do not change from here on.
    predictor = make_test_predictor(model, context)
    limit = choose_test_limit(plan, predictor, dataset, options, context)
    test = evaluate(predictor, dataset, "test", keep_seen=options.keep_seen, limit=limit, ranks=ranks)
    num_users = count_cases(dataset, "test")
    bytes_by_part = predictor.count_model_bytes()
    version = ""
    assessment = TrainingAssessment()
    if ranks.is_first:
        time_limit = _compute_assessment_limit(plan, context, started_at)
        assessment = assess_training(
            dataset, test, config.preset, options.keep_seen, curve, time_limit, clock=context.clock
        )
        entries = {**assessment.make_manifest_entries(dataset), **(details or {})}
        version = _export(folder, model, dataset, test, entries)
        has_time = _make_time_check(plan, context)
        report = TrainingReport(version, dataset, test, num_users, curve, assessment, predictor, funnel, has_time)
        write_training_report(folder / TRAINING_FOLDER, report)
        _remove_files(folder / TRAINING_FOLDER, CHECKPOINT_FILE, PLAN_FILE, RUN_FILE)  # only to resume
    # Other ranks learn from the broadcast whether the export succeeded.
    return TrainingResult(
        ranks.broadcast_object(version), test, num_users, curve, best, bytes_by_part, assessment, plan
    )


def _check_folder(folder: Path, config: ModelConfig, dataset: Dataset, ranks: Ranks, *, overwrite: bool) -> None:
    """ValueError for a folder that already holds an artifact, or that has too little space for this one."""
    if (folder / MANIFEST).exists() and not overwrite:
        raise ValueError(f"{folder} already holds an artifact; choose another folder or pass --overwrite")
    if ranks.is_first:
        check_disk_space(folder, config, dataset.catalogue)


def _export(
    folder: Path, model: SequentialRecommender, dataset: Dataset, test: Evaluation, details: Mapping[str, Any]
) -> str:
    """Write the artifact and return its version; `details` are further entries of the manifest."""
    return save_artifact(
        folder,
        model.cpu(),
        dataset.catalogue,
        golden_histories=_select_golden_histories(dataset),
        metrics=test.values if test.num_cases else {},
        details=details,
    )


def _compute_assessment_limit(plan: TrainingPlan, context: RunContext, started_at: float) -> float:
    """Compute the seconds that the assessment may take, within what is left of the run's time."""
    limit_s = compute_time_limit(context.clock() - started_at)
    return limit_s if plan.limit_s is None else min(limit_s, plan.limit_s - context.compute_spent_s())


def _make_time_check(plan: TrainingPlan, context: RunContext) -> Callable[[], bool]:
    """Make a check that the first rank's time is not over; always true without a limit."""
    limit_s = plan.limit_s
    if limit_s is None:
        return lambda: True
    return lambda: context.clock() - context.started_at < limit_s


def _remove_files(folder: Path, *names: str) -> None:
    """Remove files with these names from the folder of a training and those of its stages."""
    for name in names:
        for path in folder.rglob(name):
            path.unlink()


def _select_golden_histories(dataset: Dataset) -> list[History]:
    histories = select_training_histories(dataset)
    rows = np.linspace(0, len(histories) - 1, min(NUM_GOLDEN_HISTORIES, len(histories))).astype(int)
    return [histories[row] for row in rows]
