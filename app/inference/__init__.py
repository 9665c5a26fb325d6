"""The door to the models: what other folders of the service see. It loads no torch: who has a model inside imports
`engine.py` and `servable.py` besides.
"""

from app.inference.interfaces import About, Engine, Served
from app.inference.query import Query, SimilarQuery, TopItems, queue_seconds

__all__ = ["About", "Engine", "Query", "Served", "SimilarQuery", "TopItems", "queue_seconds"]
