"""The report of `nextup evaluate`."""

from dataclasses import dataclass
from pathlib import Path

from models.artifact import Artifact
from models.data.dataset import Dataset
from models.data.funnel import Funnel
from models.data.splits import Cases
from models.evaluation.comparison import Comparison
from models.evaluation.evaluate import Evaluation
from models.evaluation.quality import Quality
from models.reports.model_report import ModelReport, build_model_page
from models.reports.page import write_page
from models.reports.training_section import read_curve

TRAINING_LOG = Path("training", "log.jsonl")
"""The curve of an artifact's training, which is next to it and not part of the version."""


@dataclass(frozen=True, slots=True)
class EvaluationResults:
    """Results of the command; `candidates` name the items that targets are ranked against."""

    artifact: Artifact
    dataset: Dataset
    cases: Cases
    evaluation: Evaluation
    quality: Quality
    comparison: Comparison | None
    funnel: Funnel
    candidates: str
    request_times: bool


def write_evaluation_report(path: Path, results: EvaluationResults) -> None:
    """Write the page to a file."""
    artifact, comparison = results.artifact, results.comparison
    warnings = [results.evaluation.describe_unmeasured(), None if comparison is None else comparison.describe()]
    report = ModelReport(
        artifact.preset,
        artifact.version,
        results.dataset,
        results.cases,
        results.evaluation,
        results.quality,
        artifact.bytes_by_part,
        artifact.uncompressed_bytes,
        comparison,
        results.funnel,
        read_curve(artifact.folder / TRAINING_LOG),
        artifact.predictor,
        [warning for warning in warnings if warning is not None],
        {"artifact": str(artifact.folder), "device": artifact.predictor.device},
        results.candidates,
        results.request_times,
    )
    write_page(path, build_model_page(report))
