"""The training report of an artifact: curve.png, log.jsonl and report.html."""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from models.config import ModelConfig
from models.data.dataset import Dataset
from models.evaluation.evaluate import Evaluation
from models.evaluation.metrics import drop_nan
from models.evaluation.report import make_report_tables, render_html_report
from models.training.assessment import TrainingAssessment
from models.training.checkpoint import EpochRecord


def write_training_report(
    folder: Path,
    config: ModelConfig,
    dataset: Dataset,
    version: str,
    test: Evaluation,
    curve: list[EpochRecord],
    assessment: TrainingAssessment,
) -> None:
    """Write the report; an empty `curve` leaves out curve.png and log.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = plot_curve(curve, f"{config.preset}, {version}") if curve else None
    if picture is not None:
        (folder / "curve.png").write_bytes(picture)
        (folder / "log.jsonl").write_text("".join(json.dumps(drop_nan(asdict(record))) + "\n" for record in curve))
    facts = {
        "version": version,
        "preset": config.preset,
        "events": f"{len(dataset.items):,}",
        "users": f"{dataset.num_users:,}",
        "items": f"{dataset.catalogue.num_items:,}",
        "epochs": str(len(curve)),
        "test cases": f"{test.num_cases:,}",
    }
    tables = make_report_tables(assessment.segments, assessment.comparison, assessment.warnings)
    page = render_html_report(f"nextup: {config.preset}", test.values, facts, picture, tables)
    (folder / "report.html").write_text(page)


def plot_curve(curve: Sequence[EpochRecord], title: str) -> bytes:
    """Plot loss and validation metric by epoch as PNG, without a display or matplotlib's global state."""
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    losses = figure.add_subplot()
    epochs = [record.epoch for record in curve]
    losses.plot(epochs, [record.loss for record in curve], color="tab:gray", marker=".")
    losses.set(xlabel="epoch", ylabel="training loss", title=title)
    metrics = losses.twinx()
    metrics.plot(epochs, [record.ndcg for record in curve], color="tab:blue", marker=".")
    metrics.set_ylabel("validation NDCG@10", color="tab:blue")
    validated = [record for record in curve if not math.isnan(record.ndcg)]
    for best in [max(validated, key=lambda record: record.ndcg)] if validated else []:
        metrics.annotate(
            f"{best.ndcg:.4f}", (best.epoch, best.ndcg), textcoords="offset points", xytext=(0, 6), ha="center"
        )
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
