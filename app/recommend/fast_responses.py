"""Bodies of recommendation responses, built as dicts for both the route and the hot path.

A test checks that they match the response models in `schemas.py`, which only OpenAPI uses.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec

from app.inference import TopItems
from app.recommend.answer_parts import AnswerParams
from app.recommend.recommendation import Recommendation
from app.rules.settings import ItemField
from app.stores.item_records import ItemRecord
from models.explanation import Explanation

_encoder = msgspec.json.Encoder()
NO_RECORD = ItemRecord()
FIELDS: tuple[ItemField, ...] = ("title", "categories")


def encode_response(recommendation: Recommendation, *, status: int | None = None) -> bytes:
    """Encode the response body, with `status` if it is an entry of a batch.

    ValueError for a score that is not finite, which JSON cannot represent.
    """
    if not all(map(isfinite, recommendation.top.scores)):
        raise ValueError("the model returned a score that is not finite")  # the encoder would write null
    response = build_response(recommendation)
    return _encoder.encode(response if status is None else {"status": status} | response)


def build_response(recommendation: Recommendation) -> dict[str, Any]:
    response: dict[str, Any] = {
        "recommendation_id": recommendation.recommendation_id,
        "items": build_items(recommendation.top, recommendation.params, recommendation.details),
        "served_by": recommendation.top.source,
        "reason": recommendation.reason,
        "model_version": recommendation.top.version,
        "history_length": recommendation.history_length,
        "history_version": recommendation.history_version,
        "unknown_items": recommendation.unknown_items,
    }
    if recommendation.params.explain:
        response["explained_by"] = "unsupported" if recommendation.top.explanations is None else "removal"
    if recommendation.is_page:
        response["next_cursor"] = recommendation.next_cursor
    if (variant := recommendation.variant) is not None:
        response["experiment"] = {
            "name": variant.experiment,
            "variant": variant.name,
            "served": variant.is_served,
        }
    return response


def build_items(top: TopItems, params: AnswerParams, details: Mapping[str, ItemRecord]) -> list[dict[str, Any]]:
    """Build the items of an answer; `details` are live records, which replace what the catalogue says."""
    items: list[dict[str, Any]] = [
        {"item_id": item_id, "score": score} for item_id, score in zip(top.item_ids, top.scores, strict=True)
    ]
    fields = FIELDS if params.explain else params.include
    for item, index in zip(items, top.indices, strict=True) if fields else ():
        record = details.get(item["item_id"], NO_RECORD)
        if "title" in fields:
            item["title"] = top.get_title(index) if record.title is None else record.title
        if "categories" in fields:
            trained = record.categories is None
            item["categories"] = list(top.get_categories(index) if trained else record.categories or ())
    for item, explanation in zip(items, top.explanations or (), strict=False):
        item |= _describe_explanation(explanation, top)
    return items


def _describe_explanation(explanation: Explanation, top: TopItems) -> dict[str, Any]:
    item_id = top.catalogue.item_id
    reasons = [
        {"item_id": item_id(reason.item), "weight": reason.weight, "score_drop": reason.drop}
        for reason in explanation.reasons
    ]
    nearest = {"item_id": item_id(explanation.nearest), "similarity": explanation.similarity}
    return {"because": reasons, "nearest": nearest}
