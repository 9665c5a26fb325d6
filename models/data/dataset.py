"""Prepare a log for training: histories as one array of catalogue indices, and the catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.batch import NO_TIME, History, Times
from models.catalogue.catalogue import Catalogue
from models.times import to_stored_times

HELD_OUT_EVENTS = 2
"""Held-out events per user: the last one is the test target, the one before it the validation target."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Histories of all users in one array, and the catalogue of their items.

    User u has the events `items[offsets[u] : offsets[u + 1]]`, oldest first. Users are ordered by id. `times` are
    parallel to `items`; None if unknown.
    """

    catalogue: Catalogue
    user_ids: list[str]
    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    times: Times | None = None

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    def history(self, user: int) -> History:
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def history_times(self, user: int) -> Times:
        """Parallel to `history(user)`."""
        start, end = self.offsets[user : user + 2]
        return np.full(end - start, NO_TIME, dtype=np.uint32) if self.times is None else self.times[start:end]

    def iter_fingerprint_bytes(self, *, with_times: bool) -> Iterator[bytes]:
        """Yield the bytes that identify this dataset in the fingerprint of a checkpoint."""
        yield self.items.tobytes()
        yield self.offsets.tobytes()
        if with_times and self.times is not None:
            yield self.times.tobytes()
        yield "\n".join(self.catalogue.item_ids).encode()


def prepare_dataset(events: pl.DataFrame, items: pl.DataFrame | None = None, *, min_item_events: int = 5) -> Dataset:
    """Sort every user's events by time, drop rare items and rank the remaining items by popularity.

    Events with equal times keep their order. The ranks count only training events, not the held-out ones, so there is
    no leakage from the test split.

    Args:
        events: user_id, item_id (String) and timestamp (Int64), in file order.
        items: item_id, title, categories; items without a row have no title. Rows without events are ignored.
        min_item_events: items with fewer events in the whole log are dropped, with their events.

    """
    frequent = events.filter(pl.len().over("item_id") >= min_item_events)
    if frequent.is_empty():
        raise ValueError(f"no item has {min_item_events} or more events; lower --min-item-events")
    ordered = frequent.sort("user_id", "timestamp", maintain_order=True)
    ranked = _rank_items(ordered, items)
    indexed = ordered.join(ranked.select("item_id", "index"), on="item_id", how="left", maintain_order="left")
    catalogue = Catalogue(
        item_ids=ranked["item_id"].to_list(),
        counts=ranked["count"].to_numpy().astype(np.int64),
        titles=ranked["title"].to_list(),
        categories=[names or [] for names in ranked["categories"].to_list()],
    )
    return _build_dataset(catalogue, indexed)


def encode(events: pl.DataFrame, catalogue: Catalogue) -> Dataset:
    """Encode a log with an existing catalogue; events of unknown items are dropped."""
    ranked = pl.DataFrame({"item_id": list(catalogue.item_ids)}).with_row_index("index", offset=1)
    known_events = events.join(ranked, on="item_id", how="inner", maintain_order="left")
    if known_events.is_empty():
        raise ValueError("the log has no item of this catalogue; check that log and artifact belong together")
    return _build_dataset(catalogue, known_events.sort("user_id", "timestamp", maintain_order=True))


def _build_dataset(catalogue: Catalogue, events: pl.DataFrame) -> Dataset:
    """`events` have user_id, index (of the item) and timestamp (ms), sorted by user and time."""
    users = events.group_by("user_id", maintain_order=True).len()
    return Dataset(
        catalogue=catalogue,
        user_ids=users["user_id"].to_list(),
        offsets=np.concatenate(([0], np.cumsum(users["len"].to_numpy()))).astype(np.int64),
        items=events["index"].to_numpy().astype(np.int64),
        times=to_stored_times(events["timestamp"].to_numpy() // 1000),
    )


def _rank_items(ordered: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
    """Rank items by descending training count, then id: item_id, count, title, categories, index."""
    length, position = pl.len().over("user_id"), pl.int_range(pl.len()).over("user_id")
    is_training = (length <= HELD_OUT_EVENTS) | (position < length - HELD_OUT_EVENTS)
    counts = ordered.with_columns(training=is_training).group_by("item_id").agg(count=pl.col("training").sum())
    ranked = counts.sort(["count", "item_id"], descending=[True, False]).with_row_index("index", offset=1)
    if items is None:
        no_categories = pl.lit(None, dtype=pl.List(pl.String))
        return ranked.with_columns(title=pl.lit(None, dtype=pl.String), categories=no_categories)
    descriptions = items.select("item_id", "title", "categories").unique("item_id", keep="first", maintain_order=True)
    return ranked.join(descriptions, on="item_id", how="left", maintain_order="left")
