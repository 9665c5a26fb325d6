"""The door to the models: what other folders of the service see. It loads no torch: who has a model inside imports
`engine.py` and `servable.py` besides.
"""

from app.inference.interfaces import Engine, ModelInfo, ServingVersion
from app.inference.query import Query, SimilarQuery, TopItems, compute_queue_s

__all__ = ["Engine", "ModelInfo", "Query", "ServingVersion", "SimilarQuery", "TopItems", "compute_queue_s"]
