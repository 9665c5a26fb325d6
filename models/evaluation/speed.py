"""Measure how many cases an evaluation ranks per second, so that a run with a time limit can reserve the time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from models.data.dataset import Dataset
from models.data.sampling import sample_users
from models.data.splits import SplitPart
from models.evaluation.evaluate import evaluate
from models.predictor import Predictor
from models.ranks import SINGLE_PROCESS, Ranks

WARM_UP_CASES, FEW_CASES, MANY_CASES = 16, 64, 768
SAMPLE_USERS = 4096
SLOW_S = 0.5
"""If the few cases take this long, they are measurement enough."""


@dataclass(frozen=True, slots=True)
class EvaluationSpeed:
    """Seconds of an evaluation: `fixed_s` to select the cases, and `case_s` for each."""

    fixed_s: float
    case_s: float

    @property
    def cases_per_s(self) -> float:
        return 1 / self.case_s

    def estimate_seconds(self, num_cases: int) -> float:
        return self.fixed_s + num_cases * self.case_s

    def count_cases_in(self, seconds: float) -> int:
        """Number of cases that fit into so many seconds; may be 0."""
        return max(0, int((seconds - self.fixed_s) / self.case_s))


def measure_evaluation(
    predictor: Predictor,
    dataset: Dataset,
    part: SplitPart,
    *,
    keep_seen: bool = False,
    ranks: Ranks = SINGLE_PROCESS,
    clock: Callable[[], float] = time.monotonic,
) -> EvaluationSpeed:
    """Time two small samples after a warm-up; all ranks return what the first one measured."""
    sample = sample_users(dataset, SAMPLE_USERS)

    def time_sample(limit: int) -> tuple[int, float]:
        started_at = clock()
        evaluation = evaluate(predictor, sample, part, keep_seen=keep_seen, limit=limit, ranks=ranks)
        return evaluation.num_cases, ranks.broadcast_object(clock() - started_at)

    if not time_sample(WARM_UP_CASES)[0]:
        return EvaluationSpeed(0.0, 1e-6)
    few, few_s = many, many_s = time_sample(FEW_CASES)
    if few_s < SLOW_S:
        many, many_s = time_sample(MANY_CASES)
    case_s = max(1e-6, (many_s - few_s) / (many - few) if many > few else many_s / many)
    fixed_s = max(0.0, few_s - few * case_s) * dataset.num_users / sample.num_users
    return EvaluationSpeed(fixed_s, case_s)
