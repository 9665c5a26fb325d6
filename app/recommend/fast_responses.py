"""Bodies of recommendation responses, built as dicts for both the route and the hot path.

A test checks that they match the response models in `schemas.py`, which only OpenAPI uses.
"""

from math import isfinite
from typing import Any

import msgspec

from app.inference import TopItems
from app.recommend.service import Recommendation

_encoder = msgspec.json.Encoder()


def encode_response(recommendation: Recommendation, *, explain: bool) -> bytes:
    """Encode the response body; ValueError for a score that is not finite, which JSON cannot represent."""
    if not all(map(isfinite, recommendation.top.scores)):
        raise ValueError("the model returned a score that is not finite")  # the encoder would write null
    return _encoder.encode(build_response(recommendation, explain=explain))


def build_response(recommendation: Recommendation, *, explain: bool) -> dict[str, Any]:
    return {
        "recommendation_id": recommendation.recommendation_id,
        "items": build_items(recommendation.top, explain=explain),
        "served_by": recommendation.top.source,
        "reason": recommendation.reason,
        "model_version": recommendation.top.version,
        "history_length": recommendation.history_length,
        "history_version": recommendation.history_version,
        "unknown_items": recommendation.unknown_items,
    }


def build_items(top: TopItems, *, explain: bool) -> list[dict[str, Any]]:
    pairs = zip(top.item_ids, top.scores, strict=True)
    if not explain:
        return [{"item_id": item_id, "score": score} for item_id, score in pairs]
    return [{"item_id": item_id, "score": score} | _describe_item(top, item_id) for item_id, score in pairs]


def _describe_item(top: TopItems, item_id: str) -> dict[str, Any]:
    """Look up title and categories in the catalogue of the version that answered."""
    index = top.catalogue.find_index(item_id)
    assert index is not None, "answers contain only items of the catalogue"
    return {"title": top.catalogue.title(index), "categories": list(top.catalogue.get_categories(index))}
