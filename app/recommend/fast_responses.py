"""The answer to a recommendation as it is sent: shaped by hand, the same for the route and for the hot path.

The models in `schemas.py` tell OpenAPI what stands here, and a test holds the two together. It knows no HTTP.
"""

from math import isfinite
from typing import Any

import msgspec

from app.inference import TopItems
from app.recommend.service import Recommendation

_encoder = msgspec.json.Encoder()


def encode_response(found: Recommendation, *, explain: bool) -> bytes:
    """The body of the answer; ValueError for a score that is no number, which JSON cannot say."""
    if not all(map(isfinite, found.top.scores)):
        raise ValueError("the model gave a score that is not a number")  # the encoder would write null
    return _encoder.encode(build_response(found, explain=explain))


def build_response(found: Recommendation, *, explain: bool) -> dict[str, Any]:
    return {
        "recommendation_id": found.recommendation_id,
        "items": items(found.top, explain=explain),
        "served_by": found.top.source,
        "reason": found.reason,
        "model_version": found.top.version,
        "history_length": found.history_length,
        "history_version": found.history_version,
        "unknown_items": found.unknown_items,
    }


def items(top: TopItems, *, explain: bool) -> list[dict[str, Any]]:
    pairs = zip(top.item_ids, top.scores, strict=True)
    if not explain:
        return [{"item_id": item_id, "score": score} for item_id, score in pairs]
    return [{"item_id": item_id, "score": score} | _description(top, item_id) for item_id, score in pairs]


def _description(top: TopItems, item_id: str) -> dict[str, Any]:
    """Title and categories, of the catalogue that the answer comes from."""
    index = top.catalogue.find_index(item_id)
    assert index is not None, "only items of the catalogue are answered"
    return {"title": top.catalogue.title(index), "categories": list(top.catalogue.get_categories(index))}
