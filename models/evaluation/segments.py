"""Metrics of parts of the cases: by history length, by popularity of the target, for new items, and by recency.

Recency is the time from the last event of the history to the target.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.batch import NO_TIME
from models.data.dataset import Dataset
from models.data.splits import Cases, SplitPart, select_case_times, select_request_times
from models.evaluation.metrics import TargetRanks, hit_rate, ndcg
from models.times import FIRST_SECOND, LAST_SECOND

LENGTH_EDGES = (5, 10, 20, 50, 200)
"""Largest history lengths of the groups; the last group has no limit."""
HEAD_SHARE, TORSO_SHARE = 0.5, 0.8
"""Head items have the first half of all training events, torso items those up to 80 %, tail items the remainder."""

GAP_EDGES = {"1 minute": 60, "1 hour": 3600, "1 day": 86_400, "7 days": 604_800, "30 days": 2_592_000}
"""Largest seconds between the last event and the target; the last group has no limit."""

Segments = dict[str, dict[str, float]]


def compute_segments(
    target_ranks: TargetRanks, cases: Cases, counts: NDArray[np.int64], gaps: NDArray[np.int64] | None = None
) -> Segments:
    """Compute NDCG@10, HR@10 and the number of cases of every group that has any.

    `counts` (num_items,) are training events in catalogue order. A target without training events is new; one outside
    the catalogue is new, too, and is missed. `gaps` are those of `compute_gaps`, for groups by recency.
    """
    return {
        name: {
            "cases": int(is_member.sum()),
            "ndcg@10": ndcg(target_ranks[is_member], 10),
            "hr@10": hit_rate(target_ranks[is_member], 10),
        }
        for name, is_member in iter_groups(cases, counts, gaps)
        if is_member.any()
    }


def classify_items(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classify items by popularity: (num_items + 1,), 0 head, 1 torso, 2 tail, 3 new; index 0 is an unknown item."""
    share_before = (np.cumsum(counts) - counts) / max(1, counts.sum())
    classes = np.searchsorted((HEAD_SHARE, TORSO_SHARE), share_before, side="right")
    return np.concatenate(([3], np.where(counts > 0, classes, 3)))


def compute_gaps(dataset: Dataset, part: SplitPart, cases: Cases) -> NDArray[np.int64]:
    """Seconds from the last event of every history to its target (num_cases,); −1 without two real times."""
    targets = select_request_times(dataset, part, cases.users).astype(np.int64)
    histories = select_case_times(dataset, part, cases.users)
    lasts = np.array([times[-1] if len(times) else NO_TIME for times in histories], dtype=np.int64)
    is_real = (np.minimum(targets, lasts) >= FIRST_SECOND) & (np.maximum(targets, lasts) <= LAST_SECOND)
    return np.where(is_real, np.maximum(0, targets - lasts), -1)


def iter_groups(
    cases: Cases, counts: NDArray[np.int64], gaps: NDArray[np.int64] | None = None
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the name and the members of every group, which may be empty."""
    lengths = np.array([len(history) for history in cases.histories])
    least = 1
    for most in LENGTH_EDGES:
        yield f"history {least}-{most}", (lengths >= least) & (lengths <= most)
        least = most + 1
    yield f"history {least}+", lengths >= least
    classes = classify_items(counts)[cases.targets]
    for number, name in enumerate(("head", "torso", "tail", "new")):
        yield f"{name} items", classes == number
    if gaps is None:
        return
    before = -1
    for label, seconds in GAP_EDGES.items():
        yield f"gap up to {label}", (gaps > before) & (gaps <= seconds)
        before = seconds
    yield f"gap over {label}", gaps > before
