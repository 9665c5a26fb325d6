"""What one asks the engine, and what it answers. Items are 64-bit keys going in and external ids coming out."""

import time
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.item_key import ItemKeys
from app.telemetry.request_context import RequestTrace
from models.catalogue.catalogue import Catalogue

NO_KEYS: ItemKeys = np.empty(0, dtype="<u8")

Source = Literal["model", "popularity"]


@dataclass(frozen=True, slots=True)
class Query:
    """`history` oldest first. `candidates` None = the whole catalogue; `categories` empty = all of them.

    `times` of the events of the history, Unix seconds; None = unknown_positions. What they mean is in models/times.py. `trace` is
    that of the request, for the span of its batch.
    """

    history: ItemKeys
    k: int
    exclude_seen: bool = True
    exclude: ItemKeys = field(default_factory=lambda: NO_KEYS)
    candidates: ItemKeys | None = None
    categories: tuple[str, ...] = ()
    times: NDArray[np.uint32] | None = None
    trace: RequestTrace | None = None


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """Items near `item`, which the catalogue must have."""

    item: str
    k: int
    exclude: ItemKeys = field(default_factory=lambda: NO_KEYS)
    categories: tuple[str, ...] = ()
    trace: RequestTrace | None = None


@dataclass(frozen=True, slots=True)
class TopItems:
    """`indices` of the catalogue in falling score; `unknown_positions` are places in the history that it does not have.

    Version and catalogue are those that answered: by the time an answer is shaped, another version may serve. Times in
    seconds.
    """

    indices: list[int]
    scores: list[float]
    source: Source
    unknown_positions: NDArray[np.int64]
    version: str
    catalogue: Catalogue
    encode_s: float = 0.0
    score_s: float = 0.0
    started_at: float = 0.0  # of the batch, by time.perf_counter()

    @property
    def item_ids(self) -> list[str]:
        """Looked up anew each time."""
        return [self.catalogue.item_id(index) for index in self.indices]


def compute_queue_s(asked_at: float, answer: TopItems) -> float:
    """How long the query waited for its batch to start; both times by time.perf_counter()."""
    return max(0.0, min(answer.started_at, time.perf_counter()) - asked_at)
