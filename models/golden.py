"""Golden answers: what a model said about some histories when it was written, so that a load can tell it says so still.

Scores may differ in their last digits between machines; a difference that could come from wrong weights may not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.batch import History
from models.predictor import Predictor
from models.scorers.filter import Indices

NUM_GOLDEN_HISTORIES, GOLDEN_K = 32, 10
GOLDEN_MAX_LEN = 50
TOGETHER = 8
"""Histories asked in one call: the scores of 32 over ten million items would be more than a gigabyte."""
TOLERANCE = 1e-3
"""Of scores, relative to their spread; float32 on different hardware stays a hundred times below."""


def compute_golden_outputs(predictor: Predictor, histories: list[History]) -> dict[str, Any]:
    """The newest `GOLDEN_MAX_LEN` items of up to `NUM_GOLDEN_HISTORIES` histories, and the top 10 after each."""
    asked = [history[-GOLDEN_MAX_LEN:] for history in histories[:NUM_GOLDEN_HISTORIES]]
    items, scores = _top(predictor, asked)
    return {
        "histories": [history.tolist() for history in asked],
        "items": items.tolist(),
        "scores": [[round(float(score), 6) for score in row] for row in scores],
    }


def check_golden_outputs(predictor: Predictor, golden: dict[str, Any]) -> str | None:
    """The first place where the predictor answers otherwise, in words; None if there is none."""
    histories = [np.array(history, dtype=np.int64) for history in golden["histories"]]
    top_items, top_scores = _top(predictor, histories)
    written = np.array(golden["scores"], dtype=np.float64)
    if written.shape != top_scores.shape:
        return f"{top_scores.shape[1]} answers instead of {written.shape[1]}"
    tolerance = TOLERANCE * max(1.0, float(np.ptp(written)))
    for number, (items, scores) in enumerate(zip(golden["items"], written, strict=True)):
        if not np.allclose(top_scores[number], scores, rtol=0, atol=tolerance):
            return f"other scores for golden history {number}"
        answered = dict(zip(top_items[number].tolist(), top_scores[number].tolist(), strict=True))
        for item, score in zip(items, scores, strict=True):
            # Equal within the tolerance, items may change places, and one may leave at the end of the list.
            moved = item not in answered and score > scores[-1] + tolerance
            if moved or abs(answered.get(item, score) - score) > tolerance:
                return f"item {item} is missing or scored otherwise for golden history {number}"
    return None


def _top(predictor: Predictor, histories: list[History]) -> tuple[Indices, NDArray[np.float32]]:
    """(n, K) items and their scores."""
    parts = [predictor.top_k(histories[at : at + TOGETHER], GOLDEN_K) for at in range(0, len(histories), TOGETHER)]
    return np.concatenate([part.indices for part in parts]), np.concatenate([part.scores for part in parts])
