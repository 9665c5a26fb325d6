"""Asks a predictor every case of a split and says how well it foresaw: by the same path as the service.

The whole catalogue competes, minus what the user already had (the service's `exclude_seen`) unless `keep_seen`.
`sampled` is the literature's easier game: the target against that many random items the user never had. Figures of
the two games cannot be compared with each other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import Dataset
from models.data.splits import Cases, SplitPart, make_cases, select_case_times
from models.evaluation import metrics
from models.predictor import Predictor
from models.progress import progress
from models.ranks import SINGLE_PROCESS, Ranks

CUTOFFS = (5, 10, 20)
SCORE_CELLS = 8_000_000
"""Largest (batch, items) rectangle of scores: 32 MB."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`values` by metric name (`ndcg@10`); `repeats` counts cases whose target the user already had.

    `target_ranks` (num_cases,) says where each target was answered, in the order of the dataset's users.
    """

    part: SplitPart
    values: dict[str, float]
    num_cases: int
    repeats: int
    target_ranks: metrics.TargetRanks


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    part: SplitPart = "test",
    *,
    keep_seen: bool = False,
    sampled: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    ranks: Ranks = SINGLE_PROCESS,
) -> Evaluation:
    """HR, NDCG and MRR at 5, 10 and 20, and coverage@10.

    `limit` asks only that many make_cases, evenly spread over the users; `seed` draws the sampled items. `ranks` share the
    batches and all get the whole evaluation, the very one that a process alone would get.
    """
    if sampled is not None and ranks.size > 1:
        raise ValueError("sampled items are drawn one case after the other: by one process")
    asked = _spread(make_cases(dataset, part), limit)
    if not len(asked):
        raise ValueError("no user has three events: nothing to evaluate")
    repeats = np.array([target in history for history, target in zip(asked.histories, asked.targets, strict=True)])
    found = np.zeros(len(asked), dtype=np.int64)  # and as answers: what other ranks ask adds nothing
    answered = np.zeros((len(asked), CUTOFFS[-1]), dtype=np.int64)
    batches = _batches(asked, predictor)[ranks.shard]
    rng = np.random.default_rng(seed)
    with progress(f"evaluate {part}", sum(map(len, batches)), "cases") as shown:
        for rows in batches:
            histories = [asked.histories[row] for row in rows]
            targets = asked.targets[rows]
            times = select_case_times(dataset, part, asked.users[rows]) if predictor.reads_times else None
            allow_masks = None
            if sampled is not None:
                allow_masks = [
                    _sampled_mask(rng, dataset.history(int(user)), int(target), sampled, predictor.num_items)
                    for user, target in zip(asked.users[rows], targets, strict=True)
                ]
            seen = None if keep_seen or sampled is not None else histories
            top = predictor.top_k(histories, CUTOFFS[-1], times=times, excluded=seen, allow_masks=allow_masks).indices
            answered[rows, : top.shape[1]] = top
            found[rows] = metrics.target_ranks(top, targets)
            shown.advance(len(rows))
    ranks.all_reduce_array_(found)
    ranks.all_reduce_array_(answered)
    values = {
        f"{name}@{k}": function(found, k)
        for name, function in (("hr", metrics.hit_rate), ("ndcg", metrics.ndcg), ("mrr", metrics.mrr))
        for k in CUTOFFS
    }
    values["coverage@10"] = metrics.coverage(answered[:, :10], predictor.num_items)
    return Evaluation(part, values, len(asked), int(repeats.sum()), found)


def _sampled_mask(
    rng: np.random.Generator, had: NDArray[np.int64], target: int, count: int, num_items: int
) -> NDArray[np.bool_]:
    """The target and `count` others that the user never had, before or after; all there are if these are fewer."""
    strangers = np.ones(num_items + 1, dtype=bool)
    strangers[0] = False
    strangers[had] = False
    pool = np.flatnonzero(strangers)
    mask = np.zeros(num_items + 1, dtype=bool)
    mask[rng.choice(pool, min(count, len(pool)), replace=False)] = True
    mask[target] = True
    return mask


def _spread(all_cases: Cases, limit: int | None) -> Cases:
    if limit is None or limit >= len(all_cases):
        return all_cases
    rows = np.linspace(0, len(all_cases) - 1, limit).astype(np.int64)
    return Cases(all_cases.users[rows], [all_cases.histories[row] for row in rows], all_cases.targets[rows])


def _batches(asked: Cases, predictor: Predictor) -> list[NDArray[np.int64]]:
    """Rows of cases, like lengths together: less padding to compute."""
    order = np.argsort([min(len(history), predictor.max_len) for history in asked.histories], kind="stable")
    size = max(1, min(256, SCORE_CELLS // (predictor.num_items + 1)))
    return [order[start : start + size] for start in range(0, len(order), size)]
