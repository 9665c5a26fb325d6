"""Evaluate a predictor on a split, through the same code path as the service.

All items of the catalogue are ranked, except the user's seen items (the service's `exclude_seen`) unless `keep_seen`.
`sampled` switches to the literature's sampled negatives protocol: the target is ranked against that many random items
that the user never had. Metrics of the two protocols are not comparable.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import UNKNOWN_ITEM, Dataset
from models.data.splits import Cases, SplitPart, make_cases, select_case_times, select_request_times
from models.evaluation import metrics
from models.predictor import Predictor
from models.progress import progress
from models.ranks import SINGLE_PROCESS, Ranks

CUTOFFS = (5, 10, 20)
MAX_SCORES = 8_000_000
"""Most scores of a batch, users × items: 32 MB."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of one split; `values` by metric name (`ndcg@10`), NaN without cases.

    `unknown_targets` counts cases whose target is not in the catalogue, which every ranking misses. `repeats` counts
    cases whose target the user already had. `target_ranks` (num_cases,) are the ranks of the targets, in the order of
    the dataset's users. `recommended` (num_cases, 20) are the rankings, 0 past the last item.
    """

    part: SplitPart
    values: dict[str, float]
    num_cases: int
    repeats: int
    target_ranks: metrics.TargetRanks
    recommended: NDArray[np.int64]
    unknown_targets: int = 0

    def describe_unmeasured(self) -> str | None:
        """State why nothing was measured; None if there are cases."""
        if self.num_cases:
            return None
        return (
            f"the {self.part} metrics were not measured: no user has three events, or an event on both sides of the "
            "split, or an event of the --target-type after two others; collect more events per user"
        )


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    part: SplitPart = "test",
    *,
    keep_seen: bool = False,
    request_times: bool = False,
    sampled: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    ranks: Ranks = SINGLE_PROCESS,
) -> Evaluation:
    """Compute HR, NDCG and MRR at 5, 10 and 20, and coverage@10.

    With `request_times` a model that reads them knows the times of the targets, as the service knows those of requests.
    Without any case the metrics are NaN. `limit` evaluates only that many cases, evenly spaced over the users; `seed`
    is for sampled negatives. `ranks` share the batches, and all of them return the full evaluation, identical to that
    of a single process.
    """
    if sampled is not None and ranks.size > 1:
        raise ValueError("sampled negatives are drawn case by case; evaluate them in a single process")
    cases = make_cases(dataset, part).spread(limit)
    # Zeros add nothing when the ranks sum up their shards.
    target_ranks = np.zeros(len(cases), dtype=np.int64)
    recommended = np.zeros((len(cases), CUTOFFS[-1]), dtype=np.int64)
    batches = _make_batches(cases, predictor)[ranks.shard]
    rng = np.random.default_rng(seed)
    with progress(f"evaluate {part}", sum(map(len, batches)), "cases") as bar:
        for rows in batches:
            histories = [cases.histories[row] for row in rows]
            times = select_case_times(dataset, part, cases.users[rows]) if predictor.reads_times else None
            requests = select_request_times(dataset, part, cases.users[rows]) if request_times else None
            masks = _make_sampled_masks(rng, dataset, cases, rows, sampled, predictor.num_items)
            top = predictor.top_k(
                histories,
                CUTOFFS[-1],
                times=times,
                request_times=requests,
                excluded=None if keep_seen or sampled is not None else histories,
                allow_masks=masks,
            ).indices
            recommended[rows, : top.shape[1]] = top
            target_ranks[rows] = metrics.rank_targets(top, cases.targets[rows])
            bar.advance(len(rows))
    ranks.all_reduce_array_(target_ranks)
    ranks.all_reduce_array_(recommended)
    values = compute_metrics(target_ranks, recommended, predictor.num_items)
    num_unknown = int((cases.targets == UNKNOWN_ITEM).sum())
    return Evaluation(part, values, len(cases), _count_repeats(cases), target_ranks, recommended, num_unknown)


def compute_metrics(
    target_ranks: metrics.TargetRanks, recommended: NDArray[np.int64], num_items: int
) -> dict[str, float]:
    """Compute HR, NDCG and MRR at 5, 10 and 20, and coverage@10, from ranks and rankings; NaN without cases."""
    if not len(target_ranks):
        return dict.fromkeys(
            [*(f"{name}@{k}" for name in ("hr", "ndcg", "mrr") for k in CUTOFFS), "coverage@10"], math.nan
        )
    values = {
        f"{name}@{k}": compute(target_ranks, k)
        for name, compute in (("hr", metrics.hit_rate), ("ndcg", metrics.ndcg), ("mrr", metrics.mrr))
        for k in CUTOFFS
    }
    return values | {"coverage@10": metrics.coverage(recommended[:, :10], num_items)}


def _count_repeats(cases: Cases) -> int:
    return sum(bool(np.any(history == target)) for history, target in zip(cases.histories, cases.targets, strict=True))


def _make_sampled_masks(
    rng: np.random.Generator,
    dataset: Dataset,
    cases: Cases,
    rows: NDArray[np.int64],
    sampled: int | None,
    num_items: int,
) -> list[NDArray[np.bool_]] | None:
    """Allow the target of each case and `sampled` random negatives; None for the full catalogue."""
    if sampled is None:
        return None
    return [
        _make_sampled_mask(rng, dataset.history(user), target, sampled, num_items)
        for user, target in zip(cases.users[rows].tolist(), cases.targets[rows].tolist(), strict=True)
    ]


def _make_sampled_mask(
    rng: np.random.Generator, history: NDArray[np.int64], target: int, count: int, num_items: int
) -> NDArray[np.bool_]:
    """Mask of the target and `count` random items, or all there are, that the user never had, before or after."""
    is_unseen = np.ones(num_items + 1, dtype=bool)
    is_unseen[0] = False
    is_unseen[history] = False
    pool = np.flatnonzero(is_unseen)
    mask = np.zeros(num_items + 1, dtype=bool)
    mask[rng.choice(pool, min(count, len(pool)), replace=False)] = True
    mask[target] = target != UNKNOWN_ITEM
    return mask


def _make_batches(cases: Cases, predictor: Predictor) -> list[NDArray[np.int64]]:
    """Split the cases into batches of similar lengths, which need less padding."""
    order = np.argsort([min(len(history), predictor.max_len) for history in cases.histories], kind="stable")
    size = max(1, min(256, MAX_SCORES // (predictor.num_items + 1)))
    return [order[start : start + size] for start in range(0, len(order), size)]
