"""Interfaces of the engine and of the version it serves, for models in this process and in another one.

They name no class of either implementation, so that HTTP workers without a model load no torch.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from app.inference.filters.masks import FilterMasks
from app.inference.live.version_view import VersionView
from app.inference.query import Query, SimilarQuery, TopItems
from models.catalogue.catalogue import Catalogue
from models.catalogue.item_key import KeyIndex
from models.transitions.followers import Followers


class ModelInfo(msgspec.Struct, frozen=True):
    """Facts about a loaded version.

    `bytes_by_part` is memory, `disk_bytes` the size of all files; `index_recall` is 1 without an ANN index. `loaded_at`
    is in Unix seconds. `baselines` has the figures of each baseline. `vector_bytes` is the size of full item vectors.
    """

    version: str
    preset: str
    device: str
    dtype: str
    runner: str
    max_len: int
    created: str
    figures: dict[str, float]
    bytes_by_part: dict[str, int]
    disk_bytes: int
    scoring: dict[str, Any]
    index_recall: float
    loaded_at: float = 0.0
    baselines: dict[str, dict[str, float]] = {}
    vector_bytes: int = 0


class ItemKeyIndex(Protocol):
    """Finds items by their keys."""

    @property
    def num_items(self) -> int: ...

    @property
    def keys(self) -> KeyIndex: ...


class SearchSpace(Protocol):
    """Items that a search may return, with what masks are made of."""

    @property
    def catalogue(self) -> ItemKeyIndex: ...

    @property
    def live(self) -> VersionView: ...

    @property
    def filters(self) -> FilterMasks: ...


class ServingVersion(Protocol):
    """The version that answers queries; its catalogue is memory-mapped in every process."""

    @property
    def version(self) -> str: ...

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def live(self) -> VersionView:
        """The live catalogue over its items."""

    @property
    def filters(self) -> FilterMasks:
        """Masks of filters over its items."""

    @property
    def followers(self) -> Followers | None:
        """Followers of items in training; None if the artifact has none."""

    @property
    def model_info(self) -> ModelInfo | None:
        """None until the process with the model has announced it."""


class Engine(Protocol):
    """Answers queries with the version that serves."""

    @property
    def servable(self) -> ServingVersion: ...

    @property
    def residents(self) -> Mapping[str, object]:
        """Versions that answer queries which name them, next to the serving one."""

    @property
    def resident_problems(self) -> Mapping[str, str]:
        """Why other versions that were asked for cannot answer, by version."""

    @property
    def unavailable_reason(self) -> str | None:
        """Why the model cannot answer at the moment; None if it can."""

    @property
    def stalled_s(self) -> float:
        """Seconds for which the model has owed an answer; 0 while it owes none."""

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        """Answer one query before `deadline`, a value of the running loop's `time()`.

        Overloaded: the queue is full or too long for the deadline. NotFound: the item of a SimilarQuery. Also
        DeadlineExceeded, ModelUnavailable and Draining.
        """

    def update_gauges(self) -> None:
        """Refresh the metrics that must be sampled, such as the queue depth."""
