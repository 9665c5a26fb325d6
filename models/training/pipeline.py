"""From a prepared dataset to an artifact that can serve: train, evaluate on the test split, export."""

import dataclasses
import time
from dataclasses import dataclass

import numpy as np

from models.artifact import MANIFEST, save_artifact
from models.batch import History
from models.config import ModelConfig
from models.data.dataset import Dataset
from models.data.splits import select_training_histories
from models.evaluation.baselines import compute_time_limit
from models.evaluation.evaluate import Evaluation, evaluate
from models.golden import NUM_GOLDEN_HISTORIES
from models.predictor import Predictor
from models.training.assessment import TrainingAssessment, assess_training
from models.training.checkpoint import CHECKPOINT_FILE, EpochRecord
from models.training.options import RunContext, TrainingOptions
from models.training.report import write_training_report
from models.training.stages import train_model
from models.training.transitions import add_transitions

TRAINING_FOLDER = "training"
"""Subfolder of the artifact for curve, report and log of the training; not part of the version."""

TEST_CASES = 100_000
"""Largest number of users, evenly spaced, in the final evaluation: the standard error is below a thousandth."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained and exported model.

    `best` is the epoch that the weights come from; without training it is None and `curve` is empty. `bytes_by_part`
    counts weights; `assessment` is empty on ranks other than the first.
    """

    version: str
    test: Evaluation
    curve: list[EpochRecord]
    best: EpochRecord | None
    bytes_by_part: dict[str, int]
    assessment: TrainingAssessment


def train_artifact(
    dataset: Dataset, config: ModelConfig, options: TrainingOptions, context: RunContext, *, overwrite: bool = False
) -> TrainingResult:
    """Train `config` on `dataset` and export a verified artifact to the context's folder, on the first rank only.

    ValueError, before training starts, if the folder already holds an artifact and `overwrite` is False.
    """
    folder, ranks = context.folder, context.ranks
    if (folder / MANIFEST).exists() and not overwrite:
        raise ValueError(f"{folder} already holds an artifact; choose another folder or pass --overwrite")
    started_at = time.monotonic()
    trained_config = dataclasses.replace(config, transitions=0)  # the memory takes no part in the training itself
    model, curve, best = train_model(dataset, trained_config, options, context.in_subfolder(TRAINING_FOLDER))
    if config.transitions:
        add_transitions(model, dataset, config.transitions, options, context)
    predictor = Predictor(model, context.device)
    test = evaluate(predictor, dataset, "test", keep_seen=options.keep_seen, limit=TEST_CASES, ranks=ranks)
    bytes_by_part = predictor.count_model_bytes()
    version = ""
    assessment = TrainingAssessment()
    if ranks.is_first:
        time_limit = compute_time_limit(time.monotonic() - started_at)
        assessment = assess_training(dataset, test, config.preset, options.keep_seen, curve, time_limit)
        version = save_artifact(
            folder,
            model.cpu(),
            dataset.catalogue,
            golden_histories=_select_golden_histories(dataset),
            metrics=test.values,
            details=assessment.make_manifest_entries(dataset),
        )
        write_training_report(folder / TRAINING_FOLDER, config, dataset, version, test, curve, assessment)
        for checkpoint in (folder / TRAINING_FOLDER).rglob(CHECKPOINT_FILE):
            checkpoint.unlink()
    # Other ranks learn from the broadcast whether the export succeeded.
    return TrainingResult(ranks.broadcast_object(version), test, curve, best, bytes_by_part, assessment)


def _select_golden_histories(dataset: Dataset) -> list[History]:
    histories = select_training_histories(dataset)
    rows = np.linspace(0, len(histories) - 1, min(NUM_GOLDEN_HISTORIES, len(histories))).astype(int)
    return [histories[row] for row in rows]
