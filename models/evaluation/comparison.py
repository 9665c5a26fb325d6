"""Compare a model with the baselines on the same users: a table with intervals, and a verdict.

The verdict is part of the manifest; `nextup publish` rejects a model that is surely worse than its best baseline.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.baselines.popular import Popular
from models.data.dataset import Dataset
from models.data.splits import Cases
from models.evaluation.baselines import BaselineResults
from models.evaluation.bootstrap import Difference, bootstrap_difference
from models.evaluation.diversity import compute_diversity
from models.evaluation.evaluate import Evaluation
from models.evaluation.intervals import METHODS, Mean, compute_mean
from models.evaluation.metrics import TargetRanks, compute_ndcg_gains
from models.text_table import format_text_table

CUTOFF = 10
MIN_VERDICT_USERS = 6
"""Users below which no difference is certain: with five, all worse by chance has a probability of 3 %."""
RESAMPLES = 1_000
"""Resamples of an interval; fewer than in a published table, because every training computes four of them."""


@dataclass(frozen=True, slots=True)
class Score:
    """Metrics of a model or baseline; `gap` is the difference of NDCG@10 to the best baseline, None for that one.

    `seconds` are the CPU time of a baseline for counting and ranking.
    """

    name: str
    ndcg: Mean
    hr: Mean
    gap: Difference | None
    diversity: dict[str, float]
    seconds: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ndcg@10": self.ndcg.value,
            "ndcg@10_interval": self.ndcg.interval,
            "hr@10": self.hr.value,
            "hr@10_interval": self.hr.interval,
            "against_best_baseline": None if self.gap is None else asdict(self.gap),
            **self.diversity,
            "cpu_seconds": None if self.seconds is None else round(self.seconds, 2),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores on the same `num_users` of `num_cases` users, best first; `model` is None without a trained model."""

    scores: list[Score]
    model: Score | None
    best_baseline: Score
    num_users: int
    num_cases: int

    @property
    def beats_baselines(self) -> bool | None:
        """Whether the model's mean is above that of the best baseline; None for popularity itself, a baseline."""
        if self.model is None or self.model.gap is None or self.model.name == Popular.name:
            return None
        return self.model.gap.mean > 0

    @property
    def is_worse_than_baselines(self) -> bool | None:
        """Whether the model is behind the best baseline by more than the uncertainty; None as in `beats_baselines`."""
        if self.model is None or self.model.gap is None or self.beats_baselines is None:
            return None
        return self.num_users >= MIN_VERDICT_USERS and self.model.gap.high < 0

    def format_table(self) -> str:
        head, rows = self.make_table()
        return f"{self.num_users:,} of {self.num_cases:,} users ({METHODS}):\n{format_text_table(head, rows)}"

    def make_table(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows of the table for people."""
        head = ["", "NDCG@10", "95 % interval", "HR@10", "95 % interval", f"against {self.best_baseline.name}"]
        return head, [
            [
                score.name,
                f"{score.ndcg.value:.4f}",
                score.ndcg.format_interval(),
                f"{score.hr.value:.4f}",
                score.hr.format_interval(),
                "" if score.gap is None else format_difference(score.gap),
            ]
            for score in self.scores
        ]

    def describe(self) -> str | None:
        """State how the model compares with the best baseline; None if there is nothing to warn about."""
        best, model = self.best_baseline, self.model
        if model is None or model.gap is None or self.beats_baselines is None:
            return None
        figures = f"NDCG@10 {model.ndcg.value:.4f} against {best.ndcg.value:.4f}, {format_difference(model.gap)}"
        if self.is_worse_than_baselines:
            return f"{model.name} is worse than the baseline {best.name}: {figures}"
        if model.gap.mean == 0:
            return f"{model.name} is level with the baseline {best.name}: {figures}"
        if model.gap.low <= 0:
            side = "ahead of" if self.beats_baselines else "behind"
            return f"{model.name} is {side} the baseline {best.name} by less than the uncertainty: {figures}"
        return None

    def make_verdict(self) -> dict[str, Any]:
        """Build the manifest's entry; `passed` is None for popularity itself."""
        is_worse = self.is_worse_than_baselines
        return {
            "passed": None if is_worse is None else not is_worse,
            "metric": f"ndcg@{CUTOFF}",
            "model": None if self.model is None else self.model.ndcg.value,
            "best_baseline": self.best_baseline.name,
            "baseline": self.best_baseline.ndcg.value,
            "difference": None if self.model is None or self.model.gap is None else asdict(self.model.gap),
            "users": self.num_users,
            "message": self.describe(),
        }


def compare_with_baselines(
    dataset: Dataset, cases: Cases, baselines: BaselineResults, evaluation: Evaluation | None = None, name: str = ""
) -> Comparison:
    """Compare the baselines, and the model `name` if its evaluation of the same cases is given."""
    seconds: dict[str, float | None] = {**baselines.seconds}
    results: dict[str, tuple[TargetRanks, NDArray[np.int64]]] = {
        each: (baselines.target_ranks[each], baselines.recommended[each]) for each in baselines.target_ranks
    }
    gains = {each: compute_ndcg_gains(ranks, CUTOFF) for each, (ranks, _) in results.items()}
    best = max(gains, key=lambda each: float(gains[each].mean()))
    model_label = name
    if evaluation is not None:
        model_label = f"{name} (model)" if name in results else name
        results[model_label] = (
            evaluation.target_ranks[baselines.rows],
            evaluation.recommended[baselines.rows],
        )
    rows = cases.select(baselines.rows)
    scores = {}
    for each, (ranks, recommended) in results.items():
        own = compute_ndcg_gains(ranks, CUTOFF)
        scores[each] = Score(
            name if evaluation is not None and each == model_label else each,
            compute_mean(own),
            compute_mean((ranks < CUTOFF).astype(np.float64)),
            None if each == best else bootstrap_difference(own, gains[best], resamples=RESAMPLES),
            compute_diversity(recommended, rows, dataset.catalogue.counts),
            seconds.get(each),
        )
    ordered = sorted(scores.values(), key=lambda score: -score.ndcg.value)
    model = scores[model_label] if evaluation is not None else None
    return Comparison(ordered, model, scores[best], len(rows), len(cases))


def format_difference(difference: Difference) -> str:
    return f"{difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"


def list_json(scores: Sequence[Score]) -> list[dict[str, Any]]:
    return [score.to_json() for score in scores]
