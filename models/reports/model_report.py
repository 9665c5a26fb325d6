"""The report of a training or an evaluation: all sections of one page, from numbers that the command has anyway."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from models.data.dataset import Dataset
from models.data.funnel import Funnel
from models.data.splits import Cases
from models.evaluation.comparison import Comparison
from models.evaluation.evaluate import Evaluation
from models.evaluation.quality import Quality
from models.predictor import Predictor
from models.reports.examples import ExampleSource, make_example_section
from models.reports.log_profile import profile_log
from models.reports.log_sections import make_funnel_section, make_history_section, make_time_section
from models.reports.page import Page
from models.reports.quality_sections import (
    make_calibration_section,
    make_diversity_section,
    make_metrics_section,
    make_segment_section,
)
from models.reports.size_section import make_size_section
from models.reports.training_section import CurvePoint, make_training_section

FULL_CATALOGUE = "the full catalogue"


@dataclass(frozen=True, slots=True)
class ModelReport:
    """Results of a command.

    `cases` are those of the evaluation; `funnel` is None without a log, `comparison` without baselines. `predictor`
    explains the examples, None to leave the reasons out. `has_time` limits the examples.
    """

    preset: str
    version: str
    dataset: Dataset
    cases: Cases
    evaluation: Evaluation
    quality: Quality
    bytes_by_part: Mapping[str, int]
    uncompressed_bytes: int
    comparison: Comparison | None = None
    funnel: Funnel | None = None
    curve: Sequence[CurvePoint] = ()
    predictor: Predictor | None = None
    warnings: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    candidates: str = FULL_CATALOGUE
    request_times: bool = False
    has_time: Callable[[], bool] = lambda: True


def build_model_page(report: ModelReport) -> Page:
    """Build the page; a section that could not be measured says so."""
    profile = profile_log(report.dataset)
    evaluation, quality = report.evaluation, report.quality
    is_sampled = report.candidates != FULL_CATALOGUE
    examples = ExampleSource(
        report.dataset, report.cases, evaluation, report.predictor, report.request_times, report.has_time
    )
    return Page(
        f"nextup: {report.preset}",
        f"Version {report.version}, {evaluation.part} metrics",
        _list_headlines(evaluation, report.comparison),
        {
            "version": report.version,
            "preset": report.preset,
            "ranked against": report.candidates,
            "events": f"{len(report.dataset.items):,}",
            "users": f"{report.dataset.num_users:,}",
            "items": f"{report.dataset.catalogue.num_items:,}",
            **report.facts,
        },
        [
            make_metrics_section(evaluation, quality, report.comparison, report.candidates),
            make_segment_section(quality),
            make_diversity_section(quality, report.comparison, is_sampled=is_sampled),
            make_calibration_section(quality.calibration, is_sampled=is_sampled),
            make_training_section(report.curve),
            make_size_section(report.bytes_by_part, report.uncompressed_bytes),
            make_funnel_section(report.funnel, profile, report.dataset.num_users, evaluation),
            make_history_section(profile),
            make_time_section(profile),
            make_example_section(examples),
        ],
        report.warnings,
    )


def _list_headlines(evaluation: Evaluation, comparison: Comparison | None) -> list[tuple[str, str]]:
    values = [(f"{name.upper()}@10", evaluation.values[f"{name}@10"], "{:.4f}") for name in ("ndcg", "hr", "mrr")]
    values.append(("coverage@10", evaluation.values["coverage@10"], "{:.1%}"))
    headlines = [(name, "not measured" if math.isnan(value) else form.format(value)) for name, value, form in values]
    if comparison is not None:
        best = comparison.best_baseline
        headlines.append((f"NDCG@10 of {best.name}", f"{best.ndcg.value:.4f}"))
    return [*headlines, ("cases", f"{evaluation.num_cases:,}")]
