"""Golden outputs: reference answers of a model, stored with it and recomputed on load.

Scores may differ in their last digits between machines; a difference that wrong weights could cause is an error.
"""

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.batch import History
from models.config import MAX_LEN
from models.predictor import Predictor
from models.scorers.filter import Indices

NUM_GOLDEN_HISTORIES, GOLDEN_K = 32, 10
GOLDEN_MAX_LEN = 50
BATCH = 8
"""Histories per call: the scores of 32 over ten million items would take more than a gigabyte."""
MAX_VALUE = 1e30
"""Largest score; larger ones overflow float32."""
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


def check_golden_outputs(predictor: Predictor, golden: Mapping[str, Any], *, min_overlap: float = 1.0) -> str | None:
    """Describe the first difference from the stored outputs, or return None if they match.

    Small and large batches are compared, because different scorers may serve them. `min_overlap` is the share of items
    that an approximate scorer must find; the scores of those that it finds are exact.
    """
    histories, stored_items, stored_scores = parse_golden_outputs(golden, predictor.num_items)
    tolerance = TOLERANCE * max(1.0, float(np.ptp(stored_scores)))
    for batch in (BATCH, 1):
        num_missing = 0
        items, scores = _compute_top_items(predictor, histories, batch)
        for number in range(len(histories)):
            pairs = stored_items[number].tolist(), stored_scores[number].tolist()
            current = dict(zip(items[number].tolist(), scores[number].tolist(), strict=True))
            if not np.isfinite(scores[number]).all():
                return f"scores are not finite for golden history {number}"
            if min_overlap == 1 and not np.allclose(scores[number], stored_scores[number], rtol=0, atol=tolerance):
                return f"scores differ for golden history {number}"
            for item, score in zip(*pairs, strict=True):
                if abs(current.get(item, score) - score) > tolerance:
                    return f"item {item} has another score for golden history {number}"
                # Items that are equal within the tolerance may swap ranks, and one may drop off the end of the list.
                is_missing = item not in current and score > stored_scores[number, -1] + tolerance
                if is_missing and min_overlap == 1:
                    return f"item {item} is missing for golden history {number}"
                num_missing += is_missing
        if num_missing > (1 - min_overlap) * stored_items.size:
            return f"{num_missing} of {stored_items.size} items are missing"
    return None


def parse_golden_outputs(
    golden: Mapping[str, Any], num_items: int
) -> tuple[list[History], Indices, NDArray[np.float64]]:
    """Return histories, items (n, k) and scores (n, k); ValueError names a field that has not this form."""
    histories, items, scores = (golden.get(name) for name in ("histories", "items", "scores"))
    if not isinstance(histories, list) or not 1 <= len(histories) <= NUM_GOLDEN_HISTORIES:
        raise ValueError(f"histories must be a list of 1 to {NUM_GOLDEN_HISTORIES} histories")
    for history in histories:
        if not _is_row(history, (int,), range(1, MAX_LEN + 1)) or not 1 <= min(history) <= max(history) <= num_items:
            raise ValueError(f"histories must hold 1 to {MAX_LEN:,} items from 1 to {num_items:,} each")
    width = min(GOLDEN_K, num_items)
    for name, rows, kinds in (("items", items, (int,)), ("scores", scores, (int, float))):
        if not isinstance(rows, list) or len(rows) != len(histories):
            raise ValueError(f"{name} must be a list with one row per history")
        if not all(_is_row(row, kinds, (width,)) for row in rows):
            raise ValueError(f"{name} must hold {width} finite numbers per history")
    item_rows = np.array(items, dtype=np.int64)
    if item_rows.min() < 1 or item_rows.max() > num_items:
        raise ValueError(f"items must hold items from 1 to {num_items:,}")
    return [np.array(history, dtype=np.int64) for history in histories], item_rows, np.array(scores, dtype=np.float64)


def _is_row(row: Any, kinds: tuple[type, ...], lengths: Container[int]) -> bool:
    return (
        isinstance(row, list)
        and len(row) in lengths
        and all(type(value) in kinds and -MAX_VALUE < value < MAX_VALUE for value in row)
    )


def _compute_top_items(
    predictor: Predictor, histories: list[History], batch: int = BATCH
) -> tuple[Indices, NDArray[np.float32]]:
    """(n, GOLDEN_K) items and their scores."""
    parts = [predictor.top_k(histories[at : at + batch], GOLDEN_K) for at in range(0, len(histories), batch)]
    return np.concatenate([part.indices for part in parts]), np.concatenate([part.scores for part in parts])
