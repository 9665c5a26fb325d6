"""A log made ready: histories as one array of catalogue indices, and the catalogue that gives the indices.

It knows events and items as data frames, not the files they came from.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.batch import NO_TIME, History, Times
from models.catalogue.catalogue import Catalogue
from models.times import to_stored_times

HELD_OUT_EVENTS = 2
"""Events per user that training does not see: the last is the test, the one before it the validation."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """User u has the events `items[offsets[u] : offsets[u + 1]]`, oldest first. Users are ordered by id.

    `times` are parallel to `items`; None where nobody knows them.
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
        begin, end = self.offsets[user : user + 2]
        return np.full(end - begin, NO_TIME, dtype=np.uint32) if self.times is None else self.times[begin:end]

    def content(self, *, with_times: bool) -> Iterator[bytes]:
        """The bytes by which a checkpoint knows the data of its run again."""
        yield self.items.tobytes()
        yield self.offsets.tobytes()
        if with_times and self.times is not None:
            yield self.times.tobytes()
        yield "\n".join(self.catalogue.item_ids).encode()


def prepare_dataset(events: pl.DataFrame, items: pl.DataFrame | None = None, *, min_item_events: int = 5) -> Dataset:
    """Order every user's events by time (equal times as given), drop rare items, rank the rest by popularity.

    Args:
        events: user_id, item_id (String) and timestamp (Int64), in file order.
        items: item_id, title, categories; items without a row have no title. Rows without events are left out.
        min_item_events: items with fewer events in the whole log are dropped, with their events.

    The rank counts only what training sees (the events before the held-out ones), so it tells nothing about the test.

    """
    kept = events.filter(pl.len().over("item_id") >= min_item_events)
    if kept.is_empty():
        raise ValueError(f"no item has {min_item_events} or more events: nothing is left to learn from")
    ordered = kept.sort("user_id", "timestamp", maintain_order=True)
    ranked = _ranked_items(ordered, items)
    indexed = ordered.join(ranked.select("item_id", "index"), on="item_id", how="left", maintain_order="left")
    users = ordered.group_by("user_id", maintain_order=True).len()
    return Dataset(
        catalogue=Catalogue(
            item_ids=ranked["item_id"].to_list(),
            counts=ranked["count"].to_numpy().astype(np.int64),
            titles=ranked["title"].to_list(),
            categories=[names or [] for names in ranked["categories"].to_list()],
        ),
        user_ids=users["user_id"].to_list(),
        offsets=np.concatenate(([0], np.cumsum(users["len"].to_numpy()))).astype(np.int64),
        items=indexed["index"].to_numpy().astype(np.int64),
        times=_times(indexed),
    )


def encode(events: pl.DataFrame, catalogue: Catalogue) -> Dataset:
    """The same log, or another one, by a catalogue that is given; events of unknown items are left out."""
    ranked = pl.DataFrame({"item_id": list(catalogue.item_ids)}).with_row_index("index", offset=1)
    known = events.join(ranked, on="item_id", how="inner", maintain_order="left")
    if known.is_empty():
        raise ValueError("the log has no item of this catalogue")
    ordered = known.sort("user_id", "timestamp", maintain_order=True)
    users = ordered.group_by("user_id", maintain_order=True).len()
    return Dataset(
        catalogue=catalogue,
        user_ids=users["user_id"].to_list(),
        offsets=np.concatenate(([0], np.cumsum(users["len"].to_numpy()))).astype(np.int64),
        items=ordered["index"].to_numpy().astype(np.int64),
        times=_times(ordered),
    )


def _times(events: pl.DataFrame) -> Times:
    return to_stored_times(events["timestamp"].to_numpy() // 1000)


def _ranked_items(ordered: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
    """item_id, count, title, categories, index: by falling training count, then by id."""
    length, place = pl.len().over("user_id"), pl.int_range(pl.len()).over("user_id")
    in_training = (length <= HELD_OUT_EVENTS) | (place < length - HELD_OUT_EVENTS)
    counted = ordered.with_columns(trained=in_training).group_by("item_id").agg(count=pl.col("trained").sum())
    ranked = counted.sort(["count", "item_id"], descending=[True, False]).with_row_index("index", offset=1)
    if items is None:
        no_names = pl.lit(None, dtype=pl.List(pl.String))
        return ranked.with_columns(title=pl.lit(None, dtype=pl.String), categories=no_names)
    described = items.select("item_id", "title", "categories").unique("item_id", keep="first", maintain_order=True)
    return ranked.join(described, on="item_id", how="left", maintain_order="left")
