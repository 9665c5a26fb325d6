"""All that is known about an evaluation beyond its means: intervals, groups of cases, diversity and calibration."""

from dataclasses import dataclass, field
from typing import Any

from models.data.dataset import Dataset
from models.data.splits import Cases
from models.evaluation.calibration import Calibration, compute_calibration
from models.evaluation.diversity import compute_diversity
from models.evaluation.evaluate import Evaluation
from models.evaluation.intervals import Interval, compute_interval, compute_intervals
from models.evaluation.metrics import compute_ndcg_gains
from models.evaluation.segments import Segments, compute_gaps, compute_segments, iter_groups

CUTOFF = 10


@dataclass(frozen=True, slots=True)
class Quality:
    """Empty without cases. `segment_intervals` are those of NDCG@10, None for a group of one case."""

    intervals: dict[str, Interval | None] = field(default_factory=dict)
    segments: Segments = field(default_factory=dict)
    segment_intervals: dict[str, Interval | None] = field(default_factory=dict)
    diversity: dict[str, float] = field(default_factory=dict)
    calibration: Calibration | None = None

    def to_json(self) -> dict[str, Any]:
        """Entries of the JSON result of a training or an evaluation."""
        return {
            "intervals": self.intervals,
            "segments": self.segments,
            "segment_intervals": self.segment_intervals,
            "diversity": self.diversity,
            "calibration": None if self.calibration is None else self.calibration.to_json(),
        }


def compute_quality(dataset: Dataset, cases: Cases, evaluation: Evaluation) -> Quality:
    """Compute the quality of an evaluation of these cases."""
    if not len(cases):
        return Quality()
    counts, ranks = dataset.catalogue.counts, evaluation.target_ranks
    gaps = compute_gaps(dataset, evaluation.part, cases)
    gains = compute_ndcg_gains(ranks, CUTOFF)
    return Quality(
        compute_intervals(ranks),
        compute_segments(ranks, cases, counts, gaps),
        {name: compute_interval(gains[rows]) for name, rows in iter_groups(cases, counts, gaps) if rows.any()},
        compute_diversity(evaluation.recommended, cases, counts),
        compute_calibration(evaluation.recommended, cases, dataset.catalogue.categories),
    )
