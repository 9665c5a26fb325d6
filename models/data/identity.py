"""The identity of an event, by which training, evaluation and the store count it once.

It is the event id, or user, item and time if there is none, as in the store (docs/architecture/history-store.md). The
first of equal events is kept. Events are ordered by time; events of equal time keep the order of the log.
"""

import polars as pl

IDENTITY_COLUMNS = ("event_identity", "event_id")
"""Columns that replace item and time in the identity where they have a value; `event_identity` is a stored hash."""


def drop_duplicates(events: pl.DataFrame) -> pl.DataFrame:
    """Keep the first of equal events, in file order."""
    identity = [name for name in IDENTITY_COLUMNS if name in events.columns]
    if not identity and _count_distinct(events) == events.height:
        return events
    if not identity:
        return events.unique(["user_id", "item_id", "timestamp"], keep="first", maintain_order=True)
    has_id = pl.any_horizontal(pl.col(identity).is_not_null())
    keyed = events.with_columns(item_key=pl.when(~has_id).then("item_id"), time_key=pl.when(~has_id).then("timestamp"))
    unique = keyed.unique(["user_id", "item_key", "time_key", *identity], keep="first", maintain_order=True)
    return unique.drop("item_key", "time_key")


def sort_events(events: pl.DataFrame) -> pl.DataFrame:
    """Sort by user and time; events of equal time keep their order."""
    return events.sort("user_id", "timestamp", maintain_order=True)


def _count_distinct(events: pl.DataFrame) -> int:
    """Number of distinct hashes: at most the number of distinct events, and a third of the time."""
    hashes = (
        events["user_id"].hash(seed=1) * 3
        + events["item_id"].hash(seed=2) * 7
        + events["timestamp"].cast(pl.UInt64, wrap_numerical=True)
    )
    return hashes.n_unique()
