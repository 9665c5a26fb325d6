"""Assess a finished training: comparison with baselines, convergence, and metrics of groups of users."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.data.dataset import Dataset
from models.data.splits import make_cases
from models.evaluation.baselines import rank_baselines
from models.evaluation.comparison import Comparison, compare_with_baselines, list_json
from models.evaluation.evaluate import Evaluation
from models.evaluation.quality import Quality, compute_quality
from models.training.checkpoint import EpochRecord
from models.training.convergence import Convergence, assess_convergence


@dataclass(frozen=True, slots=True)
class TrainingAssessment:
    """Comparison with the baselines, convergence, and the quality of the evaluation."""

    comparison: Comparison | None = None
    convergence: Convergence = field(default_factory=lambda: assess_convergence(()))
    quality: Quality = field(default_factory=Quality)
    unmeasured: str | None = None
    """Why nothing could be evaluated."""

    @property
    def warnings(self) -> list[str]:
        notes = [
            self.unmeasured,
            None if self.comparison is None else self.comparison.describe(),
            self.convergence.describe(),
        ]
        return [note for note in notes if note is not None]

    def make_manifest_entries(self, dataset: Dataset) -> dict[str, Any]:
        """Entries of the manifest: the verdict of the comparison, and the split."""
        split: dict[str, Any] = {"name": "leave-one-out"}
        if dataset.time_split is not None:
            split = {"name": "time", "moment_ms": dataset.time_split.moment_ms}
        if self.comparison is None:
            return {"split": split}
        return {
            "split": split,
            "verdict": self.comparison.make_verdict() | {"converged": self.convergence.is_converged},
        }

    def to_json(self) -> dict[str, Any]:
        """Entries of the JSON result of a training."""
        return {
            "baselines": [] if self.comparison is None else list_json(self.comparison.scores),
            "baseline_users": 0 if self.comparison is None else self.comparison.num_users,
            "beats_baselines": None if self.comparison is None else self.comparison.beats_baselines,
            "converged": self.convergence.is_converged,
            "minutes_to_converge": self.convergence.minutes,
            **self.quality.to_json(),
        }


def assess_training(
    dataset: Dataset,
    test: Evaluation,
    preset: str,
    keep_seen: bool,
    curve: Sequence[EpochRecord],
    max_seconds: float,
    clock: Callable[[], float],
) -> TrainingAssessment:
    """Rank the users of the test evaluation by the baselines, within about `max_seconds` of `clock`, and compare."""
    if not test.num_cases:
        return TrainingAssessment(None, assess_convergence(curve), Quality(), test.describe_unmeasured())
    cases = make_cases(dataset, "test").spread(test.num_cases)
    baselines = rank_baselines(dataset, cases, keep_seen=keep_seen, max_seconds=max_seconds, clock=clock)
    return TrainingAssessment(
        compare_with_baselines(dataset, cases, baselines, test, preset),
        assess_convergence(curve),
        compute_quality(dataset, cases, test),
    )
