"""Prepare a log for training: histories as one array of catalogue indices, and the catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.batch import NO_TIME, PADDING, History, Times
from models.catalogue.catalogue import Catalogue
from models.data.held_out import (
    HELD_OUT_EVENTS,
    TARGET_FLAG,
    WEIGHT,
    HeldOut,
    find_held_out,
    select_split_events,
)
from models.data.identity import sort_events
from models.data.item_ranks import build_catalogue
from models.data.target_weights import Weights
from models.times import to_stored_times

UNKNOWN_ITEM = PADDING
"""Index of a target that is not in the catalogue; it is missed by every ranking."""

MIN_ITEM_EVENTS = 5
SMALL_LOG_EVENTS = 10_000
"""Logs with fewer events keep all items by default."""


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Split by time: each user's events before a moment are known, the first event after it is the test target.

    `num_before` (num_users,) are the events before the moment; the history has at most one more. The newest event
    before the moment is the validation target of users with more than two. `users_without_history` counts users with
    events after the moment only, who are not in the dataset.
    """

    moment_ms: int
    num_before: NDArray[np.int64]
    users_without_history: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """Histories of all users in one array, and the catalogue of their items.

    User u has the events `items[offsets[u] : offsets[u + 1]]`, oldest first. Users are ordered by id. `times` are
    parallel to `items`; None if unknown. `time_split` is None for leave-one-out. Held-out events may be of
    `UNKNOWN_ITEM`, other events are not. `num_log_events` (num_users,) are events of the log, known or not, which
    decide the users that can be evaluated; None if there are no unknown ones. `unknown_targets` counts users whose last
    event in the log is of an item outside the catalogue. `weights` are those of the events as targets of the loss; None
    if all are equal. `held_out` are the targets where only events of one type are held out.
    """

    catalogue: Catalogue
    user_ids: list[str]
    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    times: Times | None = None
    time_split: TimeSplit | None = None
    unknown_targets: int = 0
    num_log_events: NDArray[np.int64] | None = None
    weights: Weights | None = None
    held_out: HeldOut | None = None

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    def history(self, user: int) -> History:
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def known_history(self, user: int) -> History:
        """The history without unknown items, as a service reads it."""
        history = self.history(user)
        known_items: History = history[history != UNKNOWN_ITEM]
        return known_items

    def history_times(self, user: int) -> Times:
        """Parallel to `history(user)`."""
        start, end = self.offsets[user : user + 2]
        return np.full(end - start, NO_TIME, dtype=np.uint32) if self.times is None else self.times[start:end]

    def iter_fingerprint_bytes(self, *, with_times: bool) -> Iterator[bytes]:
        """Yield the bytes that identify this dataset in the fingerprint of a checkpoint."""
        yield self.items.tobytes()
        yield self.offsets.tobytes()
        if self.time_split is not None:
            yield self.time_split.num_before.tobytes()
        if self.held_out is not None:
            yield from (self.held_out.test.tobytes(), self.held_out.valid.tobytes())
        if self.weights is not None:
            yield self.weights.tobytes()
        if with_times and self.times is not None:
            yield self.times.tobytes()
        yield "\n".join(self.catalogue.item_ids).encode()


def prepare_dataset(
    events: pl.DataFrame,
    items: pl.DataFrame | None = None,
    *,
    min_item_events: int | None = None,
    moment_ms: int | None = None,
) -> Dataset:
    """Sort every user's events by time, drop rare items and rank the remaining items by popularity.

    Events with equal times keep their order. The ranks count only training events, not the held-out ones, so there is
    no leakage from the test split.

    Args:
        events: user_id, item_id (String) and timestamp (Int64), in file order; WEIGHT (Float32) and TARGET_FLAG
            (Boolean) where types matter (models/data/event_types.py).
        items: item_id, title, categories, and maybe attributes (models/data/item_attributes.py); items without a row
            have no title. Rows without events are ignored.
        min_item_events: items with fewer events are dropped, with their events. A split by time counts only events
            before the moment. By default `choose_min_item_events`.
        moment_ms: split the log at this time in milliseconds (models/data/time_split.py); None for leave-one-out.

    """
    if min_item_events is None:
        min_item_events = choose_min_item_events(events.height)
    ordered = sort_events(events)
    past_events = ordered if moment_ms is None else ordered.filter(pl.col("timestamp") < moment_ms)
    frequent = past_events.filter(pl.len().over("item_id") >= min_item_events)
    if frequent.is_empty():
        raise ValueError(f"no item has {min_item_events} or more events; lower --min-item-events")
    catalogue = build_catalogue(frequent, items, moment_ms)
    return encode(ordered, catalogue, moment_ms=moment_ms, with_unknown_targets=False)


def choose_min_item_events(num_events: int) -> int:
    """Fewest events of an item that is kept: a small log cannot spare any event."""
    return 1 if num_events < SMALL_LOG_EVENTS else MIN_ITEM_EVENTS


def encode(
    events: pl.DataFrame, catalogue: Catalogue, *, moment_ms: int | None = None, with_unknown_targets: bool = True
) -> Dataset:
    """Encode a log with an existing catalogue.

    Events of unknown items are dropped, unless they are held out: a user who took an unknown item is a case that every
    ranking misses. Without `with_unknown_targets`, the held-out events of a leave-one-out split are the last known
    ones, as in published evaluations on filtered logs.
    """
    ranked = pl.DataFrame({"item_id": list(catalogue.item_ids)}).with_row_index("index", offset=1)
    optional = [name for name in (TARGET_FLAG, WEIGHT) if name in events.columns]
    ordered = sort_events(events.select("user_id", "item_id", "timestamp", *optional))
    indexed = ordered.join(ranked, on="item_id", how="left", maintain_order="left")
    num_unknown = indexed["index"].null_count()
    if num_unknown == len(indexed):
        raise ValueError("the log has no item of this catalogue; check that log and artifact belong together")
    if TARGET_FLAG in optional:
        return _split_by_type(catalogue, indexed, moment_ms, with_unknown_targets=with_unknown_targets)
    if moment_ms is not None:
        return _split_by_time(catalogue, indexed, moment_ms)
    if not num_unknown:
        return _build_dataset(catalogue, indexed, unknown_targets=0)
    last_events = indexed.group_by("user_id").agg(pl.col("index").last())
    unknown_targets = last_events["index"].null_count()
    if not with_unknown_targets:
        return _build_dataset(catalogue, indexed.drop_nulls("index"), unknown_targets=unknown_targets)
    return _build_with_unknown_targets(catalogue, indexed, unknown_targets)


def _build_with_unknown_targets(catalogue: Catalogue, indexed: pl.DataFrame, unknown_targets: int) -> Dataset:
    """Keep the known events, and the held-out ones of users who can be evaluated."""
    length, position = pl.len().over("user_id"), pl.int_range(pl.len()).over("user_id")
    is_known = pl.col("index").is_not_null()
    is_held_out = (length > HELD_OUT_EVENTS) & (position >= length - HELD_OUT_EVENTS)
    with_history = is_known.any().over("user_id")
    kept_events = indexed.with_columns(length=length).filter((is_known | is_held_out) & with_history)
    lengths = kept_events.group_by("user_id", maintain_order=True).agg(pl.col("length").first())["length"]
    return _build_dataset(
        catalogue,
        kept_events.with_columns(pl.col("index").fill_null(UNKNOWN_ITEM)),
        unknown_targets=unknown_targets,
        num_log_events=lengths.to_numpy().astype(np.int64),
    )


def _split_by_time(catalogue: Catalogue, indexed: pl.DataFrame, moment_ms: int) -> Dataset:
    """Keep each user's known events before the moment, and the first event after it, known or not."""
    is_past = pl.col("timestamp") < moment_ms
    past_events = _select_past_events(indexed, moment_ms)
    targets = indexed.filter(~is_past).unique("user_id", keep="first", maintain_order=True)
    kept_targets = targets.join(past_events, on="user_id", how="semi", maintain_order="left").fill_null(UNKNOWN_ITEM)
    counts = past_events.group_by("user_id", maintain_order=True).len()["len"].to_numpy().astype(np.int64)
    time_split = TimeSplit(moment_ms, counts, len(targets) - len(kept_targets))
    # Stable, so that the target of a user follows the events before the moment.
    events = pl.concat([past_events, kept_targets]).sort("user_id", maintain_order=True)
    num_unknown = int((kept_targets["index"] == UNKNOWN_ITEM).sum())
    return _build_dataset(catalogue, events, time_split=time_split, unknown_targets=num_unknown)


def _select_past_events(indexed: pl.DataFrame, moment_ms: int) -> pl.DataFrame:
    past_events = indexed.filter((pl.col("timestamp") < moment_ms) & pl.col("index").is_not_null())
    if past_events.is_empty():
        raise ValueError("the log has no event of a known item before the moment of the split; choose a later one")
    return past_events


def _split_by_type(
    catalogue: Catalogue, indexed: pl.DataFrame, moment_ms: int | None, *, with_unknown_targets: bool
) -> Dataset:
    """Hold out only events with TARGET_FLAG (models/data/held_out.py)."""
    selected, num_unknown = select_split_events(indexed, moment_ms, with_unknown_targets=with_unknown_targets)
    time_split = None
    if moment_ms is not None:
        past_events = _select_past_events(indexed, moment_ms)
        counts = past_events.group_by("user_id", maintain_order=True).len()["len"].to_numpy().astype(np.int64)
        later_targets = indexed.filter((pl.col("timestamp") >= moment_ms) & pl.col(TARGET_FLAG))
        without_history = later_targets.join(past_events, on="user_id", how="anti")["user_id"].n_unique()
        time_split = TimeSplit(moment_ms, counts, without_history)
    return _build_dataset(
        catalogue,
        selected.with_columns(pl.col("index").fill_null(UNKNOWN_ITEM)),
        unknown_targets=num_unknown,
        time_split=time_split,
        held_out=find_held_out(selected, moment_ms),
    )


def _build_dataset(
    catalogue: Catalogue,
    events: pl.DataFrame,
    *,
    unknown_targets: int,
    time_split: TimeSplit | None = None,
    num_log_events: NDArray[np.int64] | None = None,
    held_out: HeldOut | None = None,
) -> Dataset:
    """`events` have user_id, index (of the item) and timestamp (ms), sorted by user and time."""
    users = events.group_by("user_id", maintain_order=True).len()
    return Dataset(
        catalogue=catalogue,
        user_ids=users["user_id"].to_list(),
        offsets=np.concatenate(([0], np.cumsum(users["len"].to_numpy()))).astype(np.int64),
        items=events["index"].to_numpy().astype(np.int64),
        times=to_stored_times(events["timestamp"].to_numpy() // 1000),
        time_split=time_split,
        unknown_targets=unknown_targets,
        num_log_events=num_log_events,
        weights=events[WEIGHT].to_numpy().astype(np.float32) if WEIGHT in events.columns else None,
        held_out=held_out,
    )
