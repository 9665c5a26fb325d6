"""Meaning of event types for a training: weights of events as targets of the loss, and the type that is held out.

Types are compared as they are; callers normalize them in the log and in the rules alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from models.data.held_out import TARGET_FLAG, WEIGHT

OTHER = "*"
"""Key of the weight of all types that are not named, and of events without a type."""
MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class EventTypes:
    """`weights` by type, 0 for types that are not named; None if all events weigh 1. `target`: None for any type."""

    weights: Mapping[str, float] | None = None
    target: str | None = None

    def add_columns(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add WEIGHT and TARGET_FLAG, each where it has a rule; `events` have the column `type`."""
        columns = []
        if self.weights is not None:
            named = {name: weight for name, weight in self.weights.items() if name != OTHER}
            other = self.weights.get(OTHER, 0.0)
            weight = pl.lit(other, pl.Float32)
            if named:
                weight = pl.col("type").replace_strict(named, default=other, return_dtype=pl.Float32)
            columns.append(weight.fill_null(other).alias(WEIGHT))
        if self.target is not None:
            columns.append((pl.col("type") == self.target).fill_null(False).alias(TARGET_FLAG))
        return events.with_columns(columns)

    def check(self, events: pl.DataFrame) -> list[str]:
        """Return warnings about types that no event has; ValueError if no event remains as a target."""
        types = set(events["type"].unique().to_list())
        if self.target is not None and self.target not in types:
            raise ValueError(
                f"--target-type {self.target}: no event of the log has this type; {describe_types(events)}"
            )
        if self.weights is None:
            return []
        if not any(self.weights.get(name, self.weights.get(OTHER, 0.0)) > 0 for name in types):
            raise ValueError(f"--event-types gives no event of the log a weight above 0; {describe_types(events)}")
        unused = sorted(self.weights.keys() - types - {OTHER})
        return [f"--event-types {name}: no event of the log has this type; {describe_types(events)}" for name in unused]


def describe_types(events: pl.DataFrame) -> str:
    """List the most frequent types of a log with their events."""
    counts = count_types(events)
    if not counts.keys() - {None}:
        return "its events have no types"
    listed = [
        f"{'none' if name is None else repr(name)} ({count:,})" for name, count in list(counts.items())[:MAX_SHOWN]
    ]
    more = f" and {len(counts) - MAX_SHOWN:,} more" if len(counts) > MAX_SHOWN else ""
    return f"its types are {', '.join(listed)}{more}"


def count_types(events: pl.DataFrame) -> dict[str | None, int]:
    """Count the events of each type, most frequent first; None for events without one, empty without the column."""
    if "type" not in events.columns:
        return {}
    counts = events.group_by("type").len().sort("len", "type", descending=[True, False])
    return dict(zip(counts["type"].to_list(), counts["len"].to_list(), strict=True))
