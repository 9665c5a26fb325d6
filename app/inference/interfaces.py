"""What the service sees of the version that serves, and of whoever runs it: the same with the model in this process or
in another one.

It names no class of either side, so that who only asks loads neither torch nor a socket.
"""

from typing import Any, Protocol

import msgspec

from app.inference.query import Query, SimilarQuery, TopItems
from models.catalogue.catalogue import Catalogue


class ModelInfo(msgspec.Struct, frozen=True):
    """What is told of a loaded version. Bytes by part and of all files; `index_recall` is 1 without an index."""

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
    """One version. Its catalogue is in this process in any case, mapped from the same file by all."""

    @property
    def version(self) -> str: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def model_info(self) -> ModelInfo | None:
        """None as long as no model has told it."""


class Engine(Protocol):
    """Answers queries with the version that serves."""

    @property
    def servable(self) -> ServingVersion: ...

    @property
    def unavailable_reason(self) -> str | None:
        """Why the model cannot be asked just now; None if it can."""

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        """`deadline` by the running loop's `time()`.

        Overloaded: the queue is full, or too long for the deadline. DeadlineExceeded. NotFound: the item.
        ModelUnavailable. Draining.
        """

    def find_popular_items(self, query: Query) -> TopItems:
        """Popularity answers at once and needs neither queue nor model."""

    def update_gauges(self) -> None:
        """Refresh the gauges that nobody pushes."""
