"""Rows of the archive: events and controls of the event log as data frames.

Events are one row each, in the order of the log. The names of the first six columns are those of a dump. Files of
earlier releases, and those without any position, have no column for it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from app.stores.log_entries import LogEntry, LogId

DUMP_COLUMNS = ("user_id", "item_id", "timestamp", "type", "recommendation_id", "event_identity")
EVENT_SCHEMA = pl.Schema(
    {
        "user_id": pl.String,
        "item_id": pl.String,
        "timestamp": pl.Int64,  # milliseconds, as the caller stated them
        "type": pl.String,
        "recommendation_id": pl.String,
        "event_identity": pl.String,  # hash of the event_id in hex; null without one
        "log_ms": pl.Int64,  # id of the entry: time of the append, and a sequence number within the millisecond
        "log_seq": pl.Int64,
        "stream": pl.String,
        "position": pl.Int64,  # place in the answer, from 1
    }
)
POSITION = "position"
CONTROL_SCHEMA = pl.Schema(
    {
        "user_id": pl.String,
        "control": pl.String,
        "other_user": pl.String,
        "token": pl.String,
        "log_ms": pl.Int64,
        "log_seq": pl.Int64,
        "stream": pl.String,
    }
)
NO_EVENTS, NO_CONTROLS = pl.DataFrame(schema=EVENT_SCHEMA), pl.DataFrame(schema=CONTROL_SCHEMA)
DAY_MS = 86_400_000

EventRow = tuple[str, str, int, str | None, str | None, str | None, int, int, str, int | None]
ControlRow = tuple[str, str, str | None, str | None, int, int, str]


def build_event_rows(entry: LogEntry, stream: str) -> list[EventRow]:
    """List the events of an entry; struct.error or ValueError if its records are damaged."""
    ms, seq = entry.log_id
    return [
        (
            entry.user_id,
            event.item_id,
            event.timestamp_ms,
            event.type,
            event.recommendation_id,
            None if event.identity is None else event.identity.hex(),
            ms,
            seq,
            stream,
            event.position,
        )
        for event in entry.iter_events()
    ]


def build_control_row(entry: LogEntry, stream: str) -> ControlRow:
    assert entry.control is not None, "an entry without control has events"
    return (entry.user_id, entry.control, entry.other_user, entry.token, *entry.log_id, stream)


def build_events(rows: Sequence[EventRow]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=EVENT_SCHEMA, orient="row")


def add_position(events: pl.DataFrame) -> pl.DataFrame:
    """Return rows of a file with a column for the position, null where the file has none."""
    return events if POSITION in events.columns else events.with_columns(pl.lit(None, pl.Int64).alias(POSITION))


def drop_empty_position(events: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a new file, which processes of earlier releases can read if there is no position."""
    return events.drop(POSITION) if events[POSITION].is_null().all() else events


def build_controls(rows: Sequence[ControlRow]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=CONTROL_SCHEMA, orient="row")


def sort_by_log(rows: pl.DataFrame) -> pl.DataFrame:
    """Sort by log id; rows of one entry keep their order."""
    return rows.sort("log_ms", "log_seq", maintain_order=True)


def find_log_range(rows: pl.DataFrame) -> tuple[LogId, LogId]:
    """Return the first and the last log id of rows that `sort_by_log` has sorted."""
    first, last = rows.select("log_ms", "log_seq").row(0), rows.select("log_ms", "log_seq").row(-1)
    return LogId(*first), LogId(*last)


def format_day(log_ms: int) -> str:
    return datetime.fromtimestamp(log_ms / 1000, UTC).date().isoformat()


def split_by_day(events: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Split events by the UTC day of their append; the days are in order."""
    days = events.with_columns(day=pl.col("log_ms") // DAY_MS)
    parts = days.partition_by("day", maintain_order=True, include_key=False, as_dict=True)
    return sorted(((format_day(part["log_ms"][0]), part) for part in parts.values()), key=lambda part: part[0])
