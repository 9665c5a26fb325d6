"""Compares the variants of an experiment by click-through and conversions, from the counts of all workers."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from app.experiment_state.assignment import NUM_GROUPS
from app.experiments.confidence import Interval, Rate, bound_difference, bound_rate, estimate_rate
from app.feedback.counter import format_count_field
from app.feedback_kinds import Kind
from app.stores.experiment_records import Experiment

ALPHA = 0.05
"""Probability that any difference of a metric is ever outside its interval."""
MIN_SHOWN, MIN_OUTCOMES, MIN_GROUPS = 400, 20, 40
"""Least answers, outcomes and groups of users per variant for intervals, which are approximations for many of them."""
Metric = str
OUTCOMES: Mapping[Metric, Kind] = {"clicks": "click", "conversions": "conversion"}


@dataclass(frozen=True, slots=True)
class VariantCounts:
    """Answers with at least one item shown, clicked and converted, in all groups of users together."""

    impression: int
    click: int
    conversion: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Rate of `variant` minus that of `baseline`."""

    variant: str
    baseline: str
    interval: Interval

    @property
    def verdict(self) -> str:
        if self.interval.low > 0:
            return "better"
        return "worse" if self.interval.high < 0 else "undecided"


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """`shortage` says which data are missing; without them there are no intervals.

    `best` is the variant that is better than every other one.
    """

    rates: Mapping[str, Interval]
    differences: list[Difference]
    shortage: str | None
    best: str | None

    @property
    def status(self) -> str:
        if self.shortage is not None:
            return "too_little_data"
        return "undecided" if self.best is None else "decided"


@dataclass(frozen=True, slots=True)
class ExperimentComparison:
    counts: Mapping[str, VariantCounts]
    metrics: Mapping[Metric, MetricComparison]


def compare_variants(experiment: Experiment, counts: Mapping[str, float]) -> ExperimentComparison:
    """Compare all variants with each other; `counts` are those that the store has."""
    groups = {
        variant.name: {kind: _read_groups(counts, variant.name, kind) for kind in ("impression", *OUTCOMES.values())}
        for variant in experiment.variants
    }
    totals = {
        name: VariantCounts(**{kind: int(values.sum()) for kind, values in kinds.items()})
        for name, kinds in groups.items()
    }
    answers = {name: kinds["impression"] for name, kinds in groups.items()}
    metrics = {
        metric: _compare_metric(metric, answers, {name: kinds[kind] for name, kinds in groups.items()})
        for metric, kind in OUTCOMES.items()
    }
    return ExperimentComparison(totals, metrics)


def _read_groups(counts: Mapping[str, float], variant: str, kind: str) -> NDArray[np.float64]:
    return np.array([counts.get(format_count_field(variant, kind, group), 0.0) for group in range(NUM_GROUPS)])


def _compare_metric(
    metric: Metric, answers: Mapping[str, NDArray[np.float64]], outcomes: Mapping[str, NDArray[np.float64]]
) -> MetricComparison:
    for name in answers:
        if (shortage := _find_shortage(metric, name, answers[name], outcomes[name])) is not None:
            return MetricComparison({}, [], shortage, None)
    rates = {name: estimate_rate(answers[name], outcomes[name]) for name in answers}
    pairs = list(combinations(rates, 2))
    alpha = ALPHA / len(pairs)  # so that all differences together are covered
    differences = [
        Difference(variant, baseline, bound_difference(rates[variant], rates[baseline], alpha))
        for baseline, variant in pairs
    ]
    intervals = {name: bound_rate(rate, ALPHA) for name, rate in rates.items()}
    return MetricComparison(intervals, differences, None, _find_best(rates, differences))


def _find_shortage(
    metric: Metric, name: str, answers: NDArray[np.float64], outcomes: NDArray[np.float64]
) -> str | None:
    num_shown, num_outcomes = int(answers.sum()), int(outcomes.sum())
    if num_outcomes > num_shown:
        return f"variant {name}: more answers with {metric} ({num_outcomes}) than shown ({num_shown}); send impressions"
    for count, least, subject in (
        (num_shown, MIN_SHOWN, "answers were shown"),
        (int(np.count_nonzero(answers)), MIN_GROUPS, "groups of users were shown answers"),
        (num_outcomes, MIN_OUTCOMES, f"answers have {metric}"),
    ):
        if count < least:
            return f"variant {name}: {count} {subject}, {least} are needed"
    return None


def _find_best(rates: Mapping[str, Rate], differences: list[Difference]) -> str | None:
    best = max(rates, key=lambda name: rates[name].value)
    for difference in differences:
        if (difference.variant == best and difference.verdict != "better") or (
            difference.baseline == best and difference.verdict != "worse"
        ):
            return None
    return best
