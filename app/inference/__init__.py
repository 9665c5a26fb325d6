"""Public interface of inference for the rest of the service; it does not load torch.

Processes that hold a model also import `local_engine` and `servable`.
"""

from app.inference.interfaces import Engine, ModelInfo, ServingVersion
from app.inference.popularity import find_popular_items
from app.inference.query import Query, SimilarQuery, TopItems, compute_queue_s

__all__ = [
    "Engine",
    "ModelInfo",
    "Query",
    "ServingVersion",
    "SimilarQuery",
    "TopItems",
    "compute_queue_s",
    "find_popular_items",
]
