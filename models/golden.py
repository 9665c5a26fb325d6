"""Golden outputs: reference answers of a model, stored with it and recomputed on load.

Scores may differ in their last digits between machines; a difference that wrong weights could cause is an error.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.batch import History
from models.predictor import Predictor
from models.scorers.filter import Indices

NUM_GOLDEN_HISTORIES, GOLDEN_K = 32, 10
GOLDEN_MAX_LEN = 50
BATCH = 8
"""Histories per call: the scores of 32 over ten million items would take more than a gigabyte."""
TOLERANCE = 1e-3
"""Of scores, relative to their spread; float32 differences between machines stay a hundred times below."""


def compute_golden_outputs(predictor: Predictor, histories: list[History]) -> dict[str, Any]:
    """Compute the top 10 after the newest `GOLDEN_MAX_LEN` items of up to `NUM_GOLDEN_HISTORIES` histories."""
    shortened = [history[-GOLDEN_MAX_LEN:] for history in histories[:NUM_GOLDEN_HISTORIES]]
    items, scores = _compute_top_items(predictor, shortened)
    return {
        "histories": [history.tolist() for history in shortened],
        "items": items.tolist(),
        "scores": [[round(float(score), 6) for score in row] for row in scores],
    }


def check_golden_outputs(predictor: Predictor, golden: dict[str, Any]) -> str | None:
    """Describe the first difference from the stored outputs, or return None if they match."""
    histories = [np.array(history, dtype=np.int64) for history in golden["histories"]]
    top_items, top_scores = _compute_top_items(predictor, histories)
    stored_scores = np.array(golden["scores"], dtype=np.float64)
    if stored_scores.shape != top_scores.shape:
        return f"{top_scores.shape[1]} items instead of {stored_scores.shape[1]}"
    tolerance = TOLERANCE * max(1.0, float(np.ptp(stored_scores)))
    for number, (items, scores) in enumerate(zip(golden["items"], stored_scores, strict=True)):
        if not np.allclose(top_scores[number], scores, rtol=0, atol=tolerance):
            return f"scores differ for golden history {number}"
        current_scores = dict(zip(top_items[number].tolist(), top_scores[number].tolist(), strict=True))
        for item, score in zip(items, scores, strict=True):
            # Items that are equal within the tolerance may swap ranks, and one may drop off the end of the list.
            is_missing = item not in current_scores and score > scores[-1] + tolerance
            if is_missing or abs(current_scores.get(item, score) - score) > tolerance:
                return f"item {item} is missing or has another score for golden history {number}"
    return None


def _compute_top_items(predictor: Predictor, histories: list[History]) -> tuple[Indices, NDArray[np.float32]]:
    """(n, GOLDEN_K) items and their scores."""
    parts = [predictor.top_k(histories[at : at + BATCH], GOLDEN_K) for at in range(0, len(histories), BATCH)]
    return np.concatenate([part.indices for part in parts]), np.concatenate([part.scores for part in parts])
