"""Public interface of inference for the rest of the service; it does not load torch.

Processes that hold a model also import `local_engine` and `servable`.
"""

from app.inference.answer_cache import AnswerCache, CachedAnswer
from app.inference.interfaces import Engine, ModelInfo, ServingVersion
from app.inference.neighbours import find_neighbours, list_followers
from app.inference.popularity import (
    NO_INDICES,
    build_allow_mask,
    drop_unknown,
    fill_with_popular_items,
    find_excluded,
    find_popular_items,
    rank_under_rules,
)
from app.inference.query import Query, SimilarQuery, TopItems, compute_queue_s

__all__ = [
    "NO_INDICES",
    "AnswerCache",
    "CachedAnswer",
    "Engine",
    "ModelInfo",
    "Query",
    "ServingVersion",
    "SimilarQuery",
    "TopItems",
    "build_allow_mask",
    "compute_queue_s",
    "drop_unknown",
    "fill_with_popular_items",
    "find_excluded",
    "find_neighbours",
    "find_popular_items",
    "list_followers",
    "rank_under_rules",
]
