"""Explanations by removal: how far the score of an item falls when an item is removed from the history.

The weight of a history item i for an answered item j is max(0, s(j | h) − s(j | h without i)), where s is the score
that ranks the answer, transition memory included. It holds for every encoder, because it does not read attention. All
events of an item are removed together. Each removal costs one more history to encode.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.batch import History, Times
from models.explanation import Explanation, Reason
from models.predictor import Predictor

MAX_REMOVALS = 64
"""Distinct history items that are removed in turn, the newest."""
MAX_REASONS = 3
HISTORIES_PER_BATCH = 32


def can_explain(predictor: Predictor) -> bool:
    """Whether answers depend on the history: not if items are ranked by their counts."""
    return not predictor.model.head.scores_are_counts


def explain_items(
    predictor: Predictor, history: History, items: Sequence[int], *, times: Times | None = None, request_time: int = 0
) -> list[Explanation]:
    """Explain each of `items`, catalogue indices that were answered to `history` (oldest first, at least one item)."""
    if not items:
        return []
    history = history[-predictor.max_len :]
    times = None if times is None else times[-predictor.max_len :]
    answered_items = np.array(items, dtype=np.int64)
    removed_items = list(dict.fromkeys(history[::-1].tolist()))[:MAX_REMOVALS]
    nearest, similarities = _find_nearest(predictor, answered_items, np.unique(history))
    if len(removed_items) == 1:  # nothing is left without it
        reasons: list[tuple[Reason, ...]] = [(Reason(removed_items[0], 1.0, 0.0),)] * len(items)
    else:
        drops = _measure_drops(predictor, history, answered_items, removed_items, times, request_time)
        reasons = [_select_reasons(removed_items, column) for column in drops.T]
    return [
        Explanation(because, int(item), float(similarity))
        for because, item, similarity in zip(reasons, nearest, similarities, strict=True)
    ]


def _measure_drops(
    predictor: Predictor,
    history: History,
    items: NDArray[np.int64],
    removed_items: Sequence[int],
    times: Times | None,
    request_time: int,
) -> NDArray[np.float32]:
    """(removed items, items): the score with the whole history minus the score without each removed item."""
    masks = [np.ones(len(history), dtype=bool), *(history != removed for removed in removed_items)]
    scores = []
    for first in range(0, len(masks), HISTORIES_PER_BATCH):
        part = masks[first : first + HISTORIES_PER_BATCH]
        scores.append(
            predictor.score_items(
                [history[mask] for mask in part],
                items,
                times=None if times is None else [times[mask] for mask in part],
                request_times=np.full(len(part), request_time, dtype=np.uint32),
            )
        )
    table = np.concatenate(scores)
    drops: NDArray[np.float32] = table[0] - table[1:]
    return drops


@torch.inference_mode()
def _find_nearest(
    predictor: Predictor, items: NDArray[np.int64], history_items: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find for each of `items` the one of `history_items` with the largest cosine of vectors, and that cosine."""
    vectors, other_vectors = (
        F.normalize(predictor.model.embedding.table(torch.from_numpy(rows).to(predictor.torch_device)).float(), dim=-1)
        for rows in (items, history_items)
    )
    top = (vectors @ other_vectors.T).max(dim=1)
    return history_items[top.indices.cpu().numpy()], top.values.cpu().numpy()


def _select_reasons(removed_items: Sequence[int], drops: NDArray[np.float32]) -> tuple[Reason, ...]:
    """Select the removals that lower the score most; equal ones by the newest event."""
    weights = np.maximum(drops, 0)
    total = float(weights.sum())
    best = np.argsort(-weights, kind="stable")[:MAX_REASONS].tolist()
    return tuple(
        Reason(removed_items[row], float(weights[row]) / total, float(drops[row])) for row in best if weights[row] > 0
    )
