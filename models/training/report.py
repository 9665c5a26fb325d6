"""The training report of an artifact: curve.png, log.jsonl and report.html."""

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from models.artifact import count_uncompressed_bytes
from models.data.dataset import Dataset
from models.data.funnel import Funnel
from models.data.splits import make_cases
from models.evaluation.evaluate import Evaluation
from models.evaluation.metrics import drop_nan
from models.predictor import Predictor
from models.reports.model_report import ModelReport, build_model_page
from models.reports.page import write_page
from models.reports.training_section import make_point
from models.runners.choice import choose_runner
from models.training.assessment import TrainingAssessment
from models.training.checkpoint import EpochRecord


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """Results of a finished training; `predictor` was its evaluator, whose model is on the CPU by now.

    `has_time` is asked before each part that a run with a time limit can do without.
    """

    version: str
    dataset: Dataset
    test: Evaluation
    num_test_users: int
    curve: Sequence[EpochRecord]
    assessment: TrainingAssessment
    predictor: Predictor
    funnel: Funnel | None
    has_time: Callable[[], bool]


def write_training_report(folder: Path, report: TrainingReport) -> None:
    """Write the report; without epochs there is no curve.png and no log.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    preset = report.predictor.config.preset
    if report.curve:
        (folder / "curve.png").write_bytes(plot_curve(report.curve, f"{preset}, {report.version}"))
        lines = (json.dumps(drop_nan(asdict(record))) + "\n" for record in report.curve)
        (folder / "log.jsonl").write_text("".join(lines))
    write_page(folder / "report.html", build_model_page(_to_model_report(report)))


def _to_model_report(report: TrainingReport) -> ModelReport:
    config, assessment = report.predictor.config, report.assessment
    bytes_by_part = report.predictor.count_model_bytes() | {"catalogue": report.dataset.catalogue.nbytes}
    return ModelReport(
        config.preset,
        report.version,
        report.dataset,
        make_cases(report.dataset, "test").spread(report.test.num_cases),
        report.test,
        assessment.quality,
        bytes_by_part,
        count_uncompressed_bytes(config, report.dataset.catalogue.num_items, bytes_by_part["encoder"]),
        assessment.comparison,
        report.funnel,
        [make_point(**asdict(record)) for record in report.curve],
        _make_cpu_predictor(report.predictor),
        assessment.warnings,
        {
            "embedding": config.embedding.name,
            "encoder": config.encoder.name,
            "head": config.head.name,
            "vector size": str(config.dim),
            "longest history": str(config.max_len),
            "test cases": f"{report.test.num_cases:,} of {report.num_test_users:,}",
        },
        has_time=report.has_time,
    )


def _make_cpu_predictor(predictor: Predictor) -> Predictor:
    """The same predictor on a CPU; after a training on a GPU a new one, as the export moved the weights."""
    if predictor.device == "cpu":
        return predictor
    device = torch.device("cpu")
    return Predictor(predictor.model, device, choose_runner(predictor.model, device))


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
