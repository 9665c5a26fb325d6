"""Responses from records, comparisons, and the versions that a worker has in memory."""

from typing import Any

from app.experiments.comparison import OUTCOMES, ExperimentComparison, MetricComparison
from app.experiments.confidence import Interval
from app.experiments.schemas import (
    ExperimentResults,
    ExperimentState,
    MetricResult,
    RateDifference,
    RateInterval,
    VariantFigures,
    VariantState,
    to_datetime,
)
from app.inference import Engine
from app.stores.experiment_records import Experiment, Variant


def describe(experiment: Experiment, engine: Engine) -> ExperimentState:
    return ExperimentState(**_describe(experiment, engine))


def describe_results(experiment: Experiment, engine: Engine, comparison: ExperimentComparison) -> ExperimentResults:
    figures = []
    for name, counts in comparison.counts.items():
        rates = {metric: comparison.metrics[metric].rates.get(name) for metric in OUTCOMES}
        figures.append(
            VariantFigures(
                name=name,
                answers_shown=counts.impression,
                answers_clicked=counts.click,
                answers_converted=counts.conversion,
                click_through=_convert(rates["clicks"]),
                conversion=_convert(rates["conversions"]),
            )
        )
    return ExperimentResults(
        **_describe(experiment, engine),
        figures=figures,
        clicks=_describe_metric(comparison.metrics["clicks"]),
        conversions=_describe_metric(comparison.metrics["conversions"]),
    )


def _describe(experiment: Experiment, engine: Engine) -> dict[str, Any]:
    ended_at = experiment.ended_at
    return {
        "name": experiment.name,
        "phase": "running" if experiment.is_running else "concluded",
        "started_at": to_datetime(experiment.started_at),
        "ended_at": None if ended_at is None else to_datetime(ended_at),
        "winner": experiment.winner,
        "placement": experiment.placement,
        "variants": [_describe_variant(variant, engine) for variant in experiment.variants],
    }


def _describe_variant(variant: Variant, engine: Engine) -> VariantState:
    version = variant.version
    is_ready = version is None or version == engine.servable.version or version in engine.residents
    problem = None if is_ready or version is None else engine.resident_problems.get(version, "is not loaded")
    return VariantState(
        name=variant.name,
        share=variant.share,
        version=version,
        placement=variant.placement,
        ready=is_ready,
        problem=problem,
    )


def _describe_metric(metric: MetricComparison) -> MetricResult:
    differences = [
        RateDifference.model_validate(
            {
                "variant": difference.variant,
                "baseline": difference.baseline,
                "difference": _convert(difference.interval),
                "verdict": difference.verdict,
            }
        )
        for difference in metric.differences
    ]
    return MetricResult.model_validate(
        {"status": metric.status, "best": metric.best, "detail": metric.shortage, "differences": differences}
    )


def _convert(interval: Interval | None) -> RateInterval | None:
    return None if interval is None else RateInterval(value=interval.value, low=interval.low, high=interval.high)
