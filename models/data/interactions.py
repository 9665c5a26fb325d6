"""Interaction logs in, events out: `user_id`, `item_id` and `timestamp` (milliseconds) in file order, never sorted.

Bad rows are skipped, counted and told with file, line and reason, or stop the read at once. It knows no file format,
no catalogue and no split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from models.data.bad_rows import MAX_EXAMPLES, BadInput, BadRow, ReadReport
from models.data.columns import Columns, parse_columns
from models.data.formats import find_files
from models.data.ids import id_reasons
from models.data.log_rows import read_log_rows
from models.data.timestamps import EXPECTED, to_milliseconds

__all__ = ["BadInput", "BadRow", "Columns", "Interactions", "ReadReport", "parse_columns", "read_interactions"]

SHOWN_CHARS = 40
SHOWN_FILES = 3


@dataclass(frozen=True, slots=True)
class Interactions:
    """`events`: `user_id` String, `item_id` String, `timestamp` Int64 (milliseconds), in file order."""

    events: pl.DataFrame
    report: ReadReport


def read_interactions(
    sources: Sequence[Path | str], *, columns: Columns | None = None, strict: bool = False
) -> Interactions:
    """The events of all files that `sources` mean (see `find_files`), one file after the other.

    BadInput for a file that cannot be read at all, if no row is good, and with `strict` at the first bad row.
    """
    files = find_files(sources)
    parts: list[pl.DataFrame] = []
    examples: list[BadRow] = []
    rows = 0
    for file in files:
        events, bad = _judged(read_log_rows(file, columns or Columns()))
        shown = bad.head(MAX_EXAMPLES - len(examples)).iter_rows()
        examples.extend(BadRow(str(file), line, reason) for line, reason in shown)
        if strict and examples:
            raise BadInput(str(examples[0]))
        parts.append(events)
        rows += events.height + bad.height
    good = sum(events.height for events in parts)
    report = ReadReport(len(files), rows, rows - good, tuple(examples))
    if not good:
        names = ", ".join(map(str, files[:SHOWN_FILES])) + (", …" if len(files) > SHOWN_FILES else "")
        raise BadInput(f"{names or 'no files given'}: no usable row among {rows}{report.first_bad_rows()}")
    return Interactions(pl.concat(parts), report)


def _judged(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The events, and (`line`, `reason`) of the bad rows."""
    moments = to_milliseconds(rows["timestamp"])
    text = pl.col("timestamp").cast(pl.String)
    reason = pl.coalesce(
        "problem",
        id_reasons("user_id"),
        id_reasons("item_id"),
        pl.when(text.is_null() | (text == "")).then(pl.lit("no timestamp")),
        pl.when(moments.is_null()).then(
            pl.concat_str(pl.lit("timestamp '"), text.str.slice(0, SHOWN_CHARS), pl.lit(f"' is {EXPECTED}"))
        ),
    )
    judged = rows.select("user_id", "item_id", moments.alias("timestamp"), "line", reason.alias("reason"))
    is_good = judged["reason"].is_null()
    bad = judged.filter(~is_good).select("line", "reason")
    return judged.filter(is_good).select("user_id", "item_id", "timestamp"), bad
