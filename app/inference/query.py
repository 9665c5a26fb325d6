"""Queries to the engine and their answers: items are 64-bit keys on the way in and catalogue indices on the way out."""

import time
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.telemetry.request_context import RequestTrace
from models.catalogue.catalogue import Catalogue
from models.catalogue.item_key import ItemKeys

NO_KEYS: ItemKeys = np.empty(0, dtype="<u8")

Source = Literal["model", "popularity"]


@dataclass(frozen=True, slots=True)
class Query:
    """Asks for the next items after `history`, which is oldest first.

    `candidates` None means the whole catalogue, empty `categories` all of them. `times` are Unix seconds of the events
    of the history, None if unknown (see models/times.py); `request_time` is that of the request, 0 if unknown. `trace`
    is the request's, linked to the span of its batch.
    """

    history: ItemKeys
    k: int
    exclude_seen: bool = True
    exclude: ItemKeys = field(default_factory=lambda: NO_KEYS)
    candidates: ItemKeys | None = None
    categories: tuple[str, ...] = ()
    times: NDArray[np.uint32] | None = None
    request_time: int = 0
    trace: RequestTrace | None = None


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """Asks for items similar to `item`, which the catalogue must contain."""

    item: str
    k: int
    exclude: ItemKeys = field(default_factory=lambda: NO_KEYS)
    categories: tuple[str, ...] = ()
    trace: RequestTrace | None = None


@dataclass(frozen=True, slots=True)
class TopItems:
    """Catalogue `indices` by descending score, with the version and catalogue that produced them.

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

    @property
    def item_ids(self) -> list[str]:
        """Decoded on every access."""
        return [self.catalogue.item_id(index) for index in self.indices]


def compute_queue_s(submitted_at: float, top: TopItems) -> float:
    """Seconds from `submitted_at` (time.perf_counter()) to the start of the batch."""
    return max(0.0, min(top.started_at, time.perf_counter()) - submitted_at)
