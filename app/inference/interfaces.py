"""Interfaces of the engine and of the version it serves, for models in this process and in another one.

They name no class of either implementation, so that HTTP workers without a model load no torch.
"""

from typing import Any, Protocol

import msgspec

from app.inference.query import Query, SimilarQuery, TopItems
from models.catalogue.catalogue import Catalogue


class ModelInfo(msgspec.Struct, frozen=True):
    """Facts about a loaded version.

    `bytes_by_part` is memory, `disk_bytes` the size of all files; `index_recall` is 1 without an ANN index.
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


class ServingVersion(Protocol):
    """The version that answers queries; its catalogue is memory-mapped in every process."""

    @property
    def version(self) -> str: ...

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def model_info(self) -> ModelInfo | None:
        """None until the process with the model has announced it."""


class Engine(Protocol):
    """Answers queries with the version that serves."""

    @property
    def servable(self) -> ServingVersion: ...

    @property
    def unavailable_reason(self) -> str | None:
        """Why the model cannot answer at the moment; None if it can."""

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        """Answer one query before `deadline`, a value of the running loop's `time()`.

        Overloaded: the queue is full or too long for the deadline. NotFound: the item of a SimilarQuery. Also
        DeadlineExceeded, ModelUnavailable and Draining.
        """

    def update_gauges(self) -> None:
        """Refresh the metrics that must be sampled, such as the queue depth."""
