"""Queries to the engine and their answers: items are 64-bit keys on the way in and catalogue indices on the way out."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.inference.filters import ItemFilter
from app.inference.rules import ItemRules
from app.telemetry.request_context import RequestTrace
from models.catalogue.catalogue import Catalogue
from models.catalogue.item_key import ItemKeys
from models.explanation import Explanation

NO_KEYS: ItemKeys = np.empty(0, dtype="<u8")

EventTimes = NDArray[np.uint32]
Source = Literal["model", "cache", "neighbours", "popularity"]


@dataclass(frozen=True, slots=True)
class Query:
    """Asks for the next items after `history`, which is oldest first.

    `candidates` None means the whole catalogue, empty `categories` all of them. `times` are Unix seconds of the events
    of the history, or a function that computes them; None if unknown (see models/times.py). `request_time` is that of
    the request, 0 if unknown. `trace` is the request's, linked to the span of its batch. With `explain`, the answer has
    an explanation per item. `rules` None leaves the order of the scores. `version` is the one that the request or its
    experiment asks for; the serving one answers if it cannot. With `includes_new_items`, the answer may have items that
    the model was not trained on.
    """

    history: ItemKeys
    k: int
    exclude_seen: bool = True
    exclude: ItemKeys = field(default_factory=lambda: NO_KEYS)
    candidates: ItemKeys | None = None
    categories: tuple[str, ...] = ()
    times: EventTimes | Callable[[], EventTimes] | None = None
    request_time: int = 0
    explain: bool = False
    item_filter: ItemFilter | None = None
    rules: ItemRules | None = None
    includes_new_items: bool = True
    trace: RequestTrace | None = None
    version: str | None = None

    def read_times(self) -> EventTimes | None:
        """Return the times, computed if they are given as a function."""
        return self.times() if callable(self.times) else self.times


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """Asks for items similar to `item`, which the catalogue must contain."""

    item: str
    k: int
    exclude: ItemKeys = field(default_factory=lambda: NO_KEYS)
    categories: tuple[str, ...] = ()
    item_filter: ItemFilter | None = None
    trace: RequestTrace | None = None


@dataclass(frozen=True, slots=True)
class TopItems:
    """Catalogue `indices` by descending score unless rules reorder them, with the version and catalogue of the answer.

    Another version may serve by the time a response is built from it. `unknown_positions` are positions of the history
    whose items the catalogue does not contain.
    """

    indices: list[int]
    scores: list[float]
    source: Source
    unknown_positions: NDArray[np.int64]
    version: str
    catalogue: Catalogue
    encode_s: float = 0.0
    score_s: float = 0.0
    started_at: float = 0.0
    """Start of the batch by time.perf_counter()."""
    explanations: list[Explanation] | None = None
    """One per index if the query asked for them and the model can explain, else None."""
    new_item_ids: Mapping[int, str] | None = None
    """Ids of those `indices` that are behind the catalogue: items that the version was not trained on."""

    @property
    def item_ids(self) -> list[str]:
        """Decoded on every access."""
        if self.new_item_ids:
            return [self.new_item_ids.get(index) or self.catalogue.item_id(index) for index in self.indices]
        return [self.catalogue.item_id(index) for index in self.indices]

    def is_new(self, index: int) -> bool:
        """Whether one of `indices` is an item that the version was not trained on."""
        return self.new_item_ids is not None and index in self.new_item_ids

    def without_new_items(self) -> "TopItems":
        """Return the answer without items that the version was not trained on."""
        if not self.new_item_ids:
            return self
        pairs = zip(self.indices, self.scores, strict=True)
        items = [(index, score) for index, score in pairs if not self.is_new(index)]
        indices, scores = [index for index, _ in items], [score for _, score in items]
        return replace(self, indices=indices, scores=scores, new_item_ids=None)

    def get_title(self, index: int) -> str | None:
        """Return the title of training."""
        return None if self.is_new(index) else self.catalogue.title(index)

    def get_categories(self, index: int) -> tuple[str, ...]:
        """Return the categories of training."""
        return () if self.is_new(index) else self.catalogue.get_categories(index)


def compute_queue_s(submitted_at: float, top: TopItems) -> float:
    """Seconds from `submitted_at` (time.perf_counter()) to the start of the batch."""
    return max(0.0, min(top.started_at, time.perf_counter()) - submitted_at)
