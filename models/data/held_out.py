"""Held-out events of one type: the last event of that type of each user, and the one of the type before it.

The last one is the test target of users with two or more events before it, and the one before it the validation target.
The training part of a user ends at the first of the two. If all events are of the type, this is leave-one-out. With a
split by time, the test target is the first event of the type after the moment, and the validation target the last one
of the type before it, of users with two or more events in front of that.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

HELD_OUT_EVENTS = 2
"""Held-out events per user: the last one is the test target, the one before it the validation target."""
MIN_EVENTS_BEFORE = HELD_OUT_EVENTS
"""Fewest events before a test target of one type, as in leave-one-out."""
TARGET_FLAG, WEIGHT = "is_target", "weight"
"""Columns of events: whether an event may be held out, and its weight as a target of the loss."""
PARTS = ("test", "valid")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Positions of the targets in the histories of all users, −1 for none: (num_users,) each.

    `num_training` (num_users,) are the events of the training part, the oldest ones.
    """

    test: NDArray[np.int64]
    valid: NDArray[np.int64]
    num_training: NDArray[np.int64]

    def select(self, users: NDArray[np.int64]) -> Self:
        return type(self)(self.test[users], self.valid[users], self.num_training[users])


def mark_held_out(ordered: pl.DataFrame, moment_ms: int | None = None) -> pl.DataFrame:
    """Add `position`, `test` and `valid`: the position of an event, and those of its user's targets, null for none.

    `ordered` are sorted by user and time, and have the column TARGET_FLAG.
    """
    position = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id")
    numbered = ordered.with_columns(position=position)
    target = pl.when(TARGET_FLAG).then("position")
    if moment_ms is None:
        test = target.max().over("user_id")
        marked = numbered.with_columns(test=pl.when(test >= MIN_EVENTS_BEFORE).then(test))
        is_earlier = pl.col(TARGET_FLAG) & (pl.col("position") < pl.col("test"))
        valid = pl.when(is_earlier).then("position").max().over("user_id")
        return marked.with_columns(valid=pl.when(valid >= 1).then(valid))
    is_past = pl.col("timestamp") < moment_ms
    has_history = is_past.any().over("user_id")
    test = pl.when(~is_past).then(target).min().over("user_id")
    valid = pl.when(is_past).then(target).max().over("user_id")
    return numbered.with_columns(
        test=pl.when(has_history).then(test), valid=pl.when(valid >= MIN_EVENTS_BEFORE).then(valid)
    )


def is_training(moment_ms: int | None = None) -> pl.Expr:
    """Whether an event that `mark_held_out` has marked is in the training part."""
    before_targets = pl.col("position") < pl.coalesce("valid", "test", pl.lit(np.iinfo(np.int64).max))
    if moment_ms is None:
        return before_targets
    return (pl.col("timestamp") < moment_ms) & (pl.col("position") < pl.col("valid").fill_null(np.iinfo(np.int64).max))


def select_split_events(
    indexed: pl.DataFrame, moment_ms: int | None, *, with_unknown_targets: bool
) -> tuple[pl.DataFrame, int]:
    """Mark the events of a split and drop those of unknown items, whose `index` is null, except targets.

    The second value counts the users whose test target is unknown. Without `with_unknown_targets`, the targets of
    leave-one-out are the last known events of the type. After a moment only test targets remain.
    """
    is_known = pl.col("index").is_not_null()
    if moment_ms is not None:
        is_past = pl.col("timestamp") < moment_ms
        marked = mark_held_out(indexed.filter(is_known | ~is_past), moment_ms)
        selected = marked.filter(is_past | _is_at("test"))
        return selected, _count_unknown_targets(selected)
    marked = mark_held_out(indexed)
    num_unknown = _count_unknown_targets(marked)
    if not with_unknown_targets:
        return mark_held_out(indexed.filter(is_known)), num_unknown
    is_target = _is_at("test") | _is_at("valid")
    return marked.filter((is_known | is_target) & is_known.any().over("user_id")), num_unknown


def find_held_out(selected: pl.DataFrame, moment_ms: int | None) -> HeldOut:
    """Find the targets by their positions in the events that were selected; only those with a known event before."""
    new = pl.col("new_position")
    known_before = pl.col("index").is_not_null().cast(pl.Int64).cum_sum().over("user_id").shift(1, fill_value=0)
    numbered = selected.with_columns(
        new_position=pl.int_range(pl.len(), dtype=pl.Int64).over("user_id"),
        has_history=pl.when(pl.int_range(pl.len()).over("user_id") > 0).then(known_before > 0).otherwise(pl.lit(False)),
    )
    users = numbered.group_by("user_id", maintain_order=True).agg(
        *(new.filter(_is_at(part) & pl.col("has_history")).first().fill_null(-1).alias(part) for part in PARTS),
        num_training=is_training(moment_ms).sum().cast(pl.Int64),
    )
    return HeldOut(*(users[name].to_numpy().astype(np.int64) for name in (*PARTS, "num_training")))


def _is_at(part: str) -> pl.Expr:
    return (pl.col("position") == pl.col(part)).fill_null(False)


def _count_unknown_targets(marked: pl.DataFrame) -> int:
    return marked.filter(_is_at("test") & pl.col("index").is_null()).height
