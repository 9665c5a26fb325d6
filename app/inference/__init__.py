"""The door to the models: the only names that other folders of the service see."""

from app.inference.engine import InferenceEngine, queue_seconds
from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.servable import Servable, open_servable

__all__ = ["InferenceEngine", "Query", "Servable", "SimilarQuery", "TopItems", "open_servable", "queue_seconds"]
