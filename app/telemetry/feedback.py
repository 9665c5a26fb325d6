"""Metrics of feedback: how often recommendations were shown, clicked and converted, with bounded labels."""

from bisect import bisect_right

from prometheus_client import Counter

FEEDBACK = Counter(
    "nextup_feedback",
    "Impressions, clicks and conversions of recommended items, each counted once.",
    ["kind", "model_version", "served_by"],
)
FEEDBACK_POSITIONS = Counter(
    "nextup_feedback_positions", "The same by position in the answer, from 1.", ["kind", "position"]
)
EXPERIMENT_FEEDBACK = Counter(
    "nextup_experiment_feedback",
    "Impressions, clicks and conversions of items that the version of a variant answered.",
    ["kind", "experiment", "variant"],
)
EXPERIMENT_ANSWERS = Counter(
    "nextup_experiment_recommendations",
    "Recommendations to users in an experiment; served = no counts those that another source answered.",
    ["experiment", "variant", "served"],
)
UNCOUNTED = Counter("nextup_feedback_uncounted", "Feedback that was not counted because Redis did not answer.")
MAX_VERSIONS = 20
"""Versions with a label of their own, per process; all further ones count as `other`."""
MAX_VARIANTS = 40
"""Variants with their own label, per process; all further ones count as `other`."""
OTHER = "other"
_BOUNDS = (1, 2, 3, 4, 6, 11, 21)
_POSITIONS = ("unknown", "1", "2", "3", "4-5", "6-10", "11-20", "21+")
_versions: set[str] = set()
_variants: set[tuple[str, str]] = set()


def count_feedback(kind: str, model_version: str, served_by: str, position: int | None) -> None:
    FEEDBACK.labels(kind, _bound_version(model_version), served_by).inc()
    FEEDBACK_POSITIONS.labels(kind, find_position_label(position)).inc()


def count_variant_feedback(kind: str, experiment: str, variant: str) -> None:
    EXPERIMENT_FEEDBACK.labels(kind, *_bound_variant(experiment, variant)).inc()


def count_variant_answer(experiment: str, variant: str, *, is_served: bool) -> None:
    EXPERIMENT_ANSWERS.labels(*_bound_variant(experiment, variant), "yes" if is_served else "no").inc()


def count_uncounted(number: int) -> None:
    UNCOUNTED.inc(number)


def find_position_label(position: int | None) -> str:
    return _POSITIONS[0 if position is None else bisect_right(_BOUNDS, position)]


def _bound_version(model_version: str) -> str:
    if model_version not in _versions and len(_versions) >= MAX_VERSIONS:
        return OTHER
    _versions.add(model_version)
    return model_version


def _bound_variant(experiment: str, variant: str) -> tuple[str, str]:
    if (experiment, variant) not in _variants and len(_variants) >= MAX_VARIANTS:
        return OTHER, OTHER
    _variants.add((experiment, variant))
    return experiment, variant
