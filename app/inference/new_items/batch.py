"""The items that a batch of queries searches: those of a version, and its new items if it has some."""

from collections.abc import Sequence
from dataclasses import replace

from app.inference.interfaces import SearchSpace, ServingVersion
from app.inference.known_histories import KnownHistories
from app.inference.new_items.overlay import Overlay
from app.inference.query import Query, TopItems
from models.new_items import ExtendedPredictor
from models.predictor import Predictor


class BatchSearch:
    """Items, predictor and histories of one batch, which keeps its new items while later ones are placed."""

    def __init__(
        self, serving: ServingVersion, predictor: Predictor, overlay: Overlay | None, queries: Sequence[Query]
    ) -> None:
        self._overlay = overlay
        self.space: SearchSpace = serving
        self.predictor: Predictor | ExtendedPredictor = predictor
        if overlay is None:
            self.histories = KnownHistories(serving.catalogue, queries)
        else:
            self.space, self.predictor = overlay.space, overlay.predictor
            self.histories = KnownHistories(overlay.space.catalogue, queries, overlay.substitutes)

    def add_new_ids(self, answer: TopItems) -> TopItems:
        """Return the answer with the ids of its new items."""
        new_ids = None if self._overlay is None else self._overlay.space.catalogue.get_new_ids(answer.indices)
        return replace(answer, new_item_ids=new_ids) if new_ids else answer
