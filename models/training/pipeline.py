"""From a prepared log to an artifact that can serve: train, evaluate on the test, write.

Knows the order of the steps; each step lives in its own file.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.artifact import MANIFEST, save_artifact
from models.batch import History
from models.config import ModelConfig
from models.data.dataset import Dataset
from models.data.splits import select_training_histories
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.report import render_html_report
from models.golden import NUM_GOLDEN_HISTORIES
from models.predictor import Predictor
from models.ranks import SINGLE_PROCESS, Ranks
from models.training.checkpoint import CHECKPOINT_FILE as CHECKPOINT
from models.training.curve import curve_png
from models.training.options import TrainingOptions
from models.training.stages import train_model
from models.training.trainer import EpochRecord

TRAINING_FOLDER = "training"
"""Folder inside the artifact's folder for what training leaves to people: curve, report, log; not part of a version."""

TEST_CASES = 100_000
"""Users that the final figures ask, evenly spread: their standard error is below a thousandth then."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """`curve` is empty, and `best` None, for a model that is counted and not trained; `bytes_by_part` are of weights.

    `best` is the epoch that gave the weights.
    """

    version: str
    test: Evaluation
    curve: list[EpochRecord]
    best: EpochRecord | None
    bytes_by_part: dict[str, int]


def train_artifact(
    dataset: Dataset,
    config: ModelConfig,
    options: TrainingOptions,
    device: torch.device,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    ranks: Ranks = SINGLE_PROCESS,
) -> TrainingResult:
    """Train `config` on `dataset` and leave a checked artifact in `out`, where only the first rank writes.

    A ValueError before the long part begins: an artifact is there and neither `resume` nor `overwrite` was said.
    """
    if (out / MANIFEST).exists() and not overwrite:
        raise ValueError(f"{out} already holds an artifact: choose another folder, or say --overwrite")
    model, curve, best = train_model(
        dataset, config, options, device, out / TRAINING_FOLDER, resume=resume, ranks=ranks
    )
    predictor = Predictor(model, device)
    test = evaluate(predictor, dataset, "test", keep_seen=options.keep_seen, limit=TEST_CASES, ranks=ranks)
    bytes_by_part = predictor.count_model_bytes()
    version = ""
    if ranks.is_first:
        version = save_artifact(
            out,
            model.cpu(),
            dataset.catalogue,
            golden_histories=_golden_histories(dataset),
            metrics=test.values,
        )
        _leave_for_people(out / TRAINING_FOLDER, config, dataset, version, test, curve)
        for checkpoint in (out / TRAINING_FOLDER).rglob(CHECKPOINT):
            checkpoint.unlink()
    # Which is also how the others learn that it was written, or was not.
    return TrainingResult(ranks.broadcast_object(version), test, curve, best, bytes_by_part)


def _golden_histories(dataset: Dataset) -> list[History]:
    histories = select_training_histories(dataset)
    rows = np.linspace(0, len(histories) - 1, min(NUM_GOLDEN_HISTORIES, len(histories))).astype(int)
    return [histories[row] for row in rows]


def _leave_for_people(
    folder: Path, config: ModelConfig, dataset: Dataset, version: str, test: Evaluation, curve: list[EpochRecord]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture = curve_png(curve, f"{config.preset}, {version}") if curve else None
    if picture is not None:
        (folder / "curve.png").write_bytes(picture)
        (folder / "log.jsonl").write_text("".join(json.dumps(asdict(record)) + "\n" for record in curve))
    facts: dict[str, Any] = {
        "version": version,
        "preset": config.preset,
        "events": f"{len(dataset.items):,}",
        "users": f"{dataset.num_users:,}",
        "items": f"{dataset.catalogue.num_items:,}",
        "epochs": str(len(curve)),
        "test cases": f"{test.num_cases:,}",
    }
    (folder / "report.html").write_text(render_html_report(f"nextup: {config.preset}", test.values, facts, picture))
