"""From the rows of a log to the events that are used: what was read, dropped and kept, and by which rule."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from models.data.bad_rows import ReadReport
from models.data.time_split import format_moment
from models.times import FIRST_SECOND, LAST_SECOND

LARGE_SHARE = 0.1
"""Share of events from which a rule that drops them is a warning."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Events, items and users that a rule removes; `option` changes the rule."""

    rule: str
    events: int
    items: int
    users: int
    share: float
    """Share of the events, 0 to 1."""
    option: str = ""

    def __str__(self) -> str:
        return (
            f"dropped by the rule {self.rule}: {self.events:,} events ({self.share:.1%}), {self.items:,} items, "
            f"{self.users:,} users"
        )


@dataclass(frozen=True, slots=True)
class Funnel:
    """Counts of a log that was read, and the rules that dropped events afterwards.

    `first_ms` and `last_ms` are None for a log without real times. `repeats` are events whose item the user had before.
    """

    report: ReadReport
    events: int
    users: int
    items: int
    first_ms: int | None
    last_ms: int | None
    repeats: int
    drops: tuple[Drop, ...] = ()

    def format_lines(self) -> list[str]:
        """Lines for people: rows, events, and conventions by which the log was read."""
        report = self.report
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in report.reasons.items())
        files = "1 file" if report.files == 1 else f"{report.files:,} files"
        bad = f"{report.bad_rows:,} bad" + (f" ({reasons})" if reasons else "")
        share = self.repeats / max(1, self.events)
        return [
            f"read {report.rows:,} rows of {files}: {bad}, {report.duplicates:,} duplicates",
            f"{self.events:,} events of {self.users:,} users and {self.items:,} items, {self._format_span()}, "
            f"{self.repeats:,} repeats ({share:.1%})",
            *(f"note: {note}" for note in report.notes),
        ]

    def format_drops(self) -> list[str]:
        """A line per rule, with a warning where it removes much of the log."""
        lines = []
        for drop in self.drops:
            lines.append(str(drop))
            if drop.share >= LARGE_SHARE and drop.option:
                lines.append(f"warning: the rule {drop.rule} drops {drop.share:.0%} of the events; {drop.option}")
        return lines

    def to_json(self) -> dict[str, Any]:
        report = self.report
        return {
            "files": report.files,
            "rows": report.rows,
            "bad_rows": report.bad_rows,
            "bad_reasons": dict(report.reasons),
            "duplicates": report.duplicates,
            "events": self.events,
            "users": self.users,
            "items": self.items,
            "first": None if self.first_ms is None else format_moment(self.first_ms),
            "last": None if self.last_ms is None else format_moment(self.last_ms),
            "repeats": self.repeats,
            "dropped": [
                {"rule": drop.rule, "events": drop.events, "items": drop.items, "users": drop.users}
                for drop in self.drops
            ],
            "notes": list(report.notes),
        }

    def _format_span(self) -> str:
        if self.first_ms is None or self.last_ms is None:
            return "no real times (ranks, or before March 1973)"
        return f"{format_moment(self.first_ms)} to {format_moment(self.last_ms)}"


def measure_funnel(events: pl.DataFrame, report: ReadReport) -> Funnel:
    """Count users, items and repeats, and find the span of time."""
    pairs = events["user_id"].hash(seed=1) * 3 + events["item_id"].hash(seed=2) * 7
    times = events["timestamp"]
    first, last = times.min(), times.max()
    has_times = isinstance(first, int) and isinstance(last, int)
    is_real = has_times and first >= 1000 * FIRST_SECOND and last <= 1000 * LAST_SECOND  # type: ignore[operator]
    return Funnel(
        report,
        events.height,
        events["user_id"].n_unique(),
        events["item_id"].n_unique(),
        int(first) if is_real else None,  # type: ignore[arg-type]
        int(last) if is_real else None,  # type: ignore[arg-type]
        events.height - pairs.n_unique(),
    )


def add_drop(funnel: Funnel, events: pl.DataFrame, kept_events: pl.DataFrame, rule: str, option: str = "") -> Funnel:
    """Add the events that a rule removes; the funnel stays if there are none."""
    num_removed = events.height - kept_events.height
    if not num_removed:
        return funnel
    items, users = (events[name].n_unique() - kept_events[name].n_unique() for name in ("item_id", "user_id"))
    drop = Drop(rule, num_removed, items, users, num_removed / events.height, option)
    return replace(funnel, drops=(*funnel.drops, drop))


def select_items(events: pl.DataFrame, item_ids: Collection[str]) -> pl.DataFrame:
    """The events of these items."""
    return events.join(pl.Series("item_id", list(item_ids), dtype=pl.String).to_frame(), on="item_id", how="semi")
