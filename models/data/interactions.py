"""Read interaction logs into events: `user_id`, `item_id` and `timestamp` (milliseconds) in file order.

Bad rows are skipped, counted and reported with file, line and reason, or stop the read. polars reads a valid file in
one pass. Where polars would accept or misread a faulty line (missing cells, quotes that swallow lines, values that are
not ids), the file is read again row by row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from models.data.bad_rows import MAX_EXAMPLES, BadInput, BadRow, ReadReport
from models.data.columns import Columns, check_columns, parse_columns
from models.data.fields import (
    EXPECTED_TIME,
    find_id_faults,
    is_id_type,
    is_time_type,
    parse_json_id,
    replace_lone_surrogates,
    to_milliseconds,
)
from models.data.formats import Content, DataFile, count_lines, find_files, open_content, read_lines
from models.data.text_rows import SEPARATORS, RowFault, parse_csv, parse_json_lines, read_header

__all__ = ["BadInput", "BadRow", "Columns", "Interactions", "ReadReport", "parse_columns", "read_interactions"]

MAX_SHOWN_CHARS = 40
MAX_SHOWN_FILES = 3
NAMES = ("user_id", "item_id", "timestamp")
ROW_SCHEMA = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.String, "line": pl.Int64, "fault": pl.String}
CHUNK_ROWS = 100_000
# How polars may read a JSON id that is neither a string nor an integer, or a lone surrogate ("\0").
DOUBTFUL_JSON_ID = r"(?s)^(?:true|false|-?[0-9]+\.[0-9]+|[\[{].*|.*\x00.*)$"

Row = tuple[str | None, str | None, str | None, int, str | None]


@dataclass(frozen=True, slots=True)
class Interactions:
    """`events`: `user_id` String, `item_id` String, `timestamp` Int64 (milliseconds), in file order."""

    events: pl.DataFrame
    report: ReadReport


def read_interactions(
    sources: Sequence[Path | str], *, columns: Columns | None = None, strict: bool = False
) -> Interactions:
    """Read the events of all files that `sources` name (see `find_files`), file by file.

    BadInput for an unreadable file, if no row is valid, and with `strict` at the first bad row.
    """
    files = find_files(sources)
    parts: list[pl.DataFrame] = []
    examples: list[BadRow] = []
    num_rows = 0
    for file in files:
        events, bad_rows = _split_valid_and_bad(_read_rows(file, columns or Columns()))
        first_rows = bad_rows.head(MAX_EXAMPLES - len(examples)).iter_rows()
        examples.extend(BadRow(str(file), line, reason) for line, reason in first_rows)
        if strict and examples:
            raise BadInput(str(examples[0]))
        parts.append(events)
        num_rows += events.height + bad_rows.height
    num_events = sum(events.height for events in parts)
    report = ReadReport(len(files), num_rows, num_rows - num_events, tuple(examples))
    if not num_events:
        names = ", ".join(map(str, files[:MAX_SHOWN_FILES])) + (", …" if len(files) > MAX_SHOWN_FILES else "")
        raise BadInput(f"{names or 'no input files'}: no valid row among {num_rows}{report.format_examples()}")
    return Interactions(pl.concat(parts), report)


def _split_valid_and_bad(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the events, and (`line`, `reason`) of the bad rows."""
    times = to_milliseconds(rows["timestamp"])
    text = pl.col("timestamp").cast(pl.String)
    reason = pl.coalesce(
        "fault",
        find_id_faults("user_id"),
        find_id_faults("item_id"),
        pl.when(text.is_null() | (text == "")).then(pl.lit("no timestamp")),
        pl.when(times.is_null()).then(
            pl.concat_str(pl.lit("timestamp '"), text.str.slice(0, MAX_SHOWN_CHARS), pl.lit(f"' is {EXPECTED_TIME}"))
        ),
    )
    checked = rows.select("user_id", "item_id", times.alias("timestamp"), "line", reason.alias("reason"))
    is_valid = checked["reason"].is_null()
    bad_rows = checked.filter(~is_valid).select("line", "reason")
    return checked.filter(is_valid).select("user_id", "item_id", "timestamp"), bad_rows


def _read_rows(file: DataFile, columns: Columns) -> pl.DataFrame:
    """Read a file without validating values; BadInput if it cannot be read.

    Columns: `user_id`, `item_id` String; `timestamp` in its original type; `line` from 1, in Parquet the row number;
    `fault` String, not null for a row that cannot be parsed.
    """
    if file.format == "parquet":
        return _read_parquet(file, columns)
    content = open_content(file)
    if file.format == "json":
        rows = _read_json_fast(content, columns)
        return _read_json_by_line(file, content, columns) if rows is None else rows
    separator = SEPARATORS[file.format]
    header = read_header(file, content)
    check_columns(str(file), columns.names, header)
    rows = _read_csv_fast(content, columns, header, separator)
    return _read_csv_by_line(content, columns, header, separator) if rows is None else rows


def _read_parquet(file: DataFile, columns: Columns) -> pl.DataFrame:
    try:
        scan = pl.scan_parquet(file.path, glob=False)
        schema = scan.collect_schema()
        check_columns(str(file), columns.names, list(schema))
        for name in (columns.user, columns.item):
            if not is_id_type(schema[name]):
                raise BadInput(f"{file}: column {name!r} is {schema[name]}; ids must be strings or integers")
        if not is_time_type(schema[columns.time]):
            raise BadInput(f"{file}: column {columns.time!r} is {schema[columns.time]}, which is not a time type")
        frame = scan.select(columns.names).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: cannot be read: {error}") from error
    return _number_rows(frame, columns, first=1).with_columns(pl.col("user_id", "item_id").cast(pl.String))


def _number_rows(frame: pl.DataFrame, columns: Columns, *, first: int) -> pl.DataFrame:
    lines = pl.int_range(first, first + frame.height, dtype=pl.Int64, eager=True)
    renamed = [pl.col(source).alias(target) for source, target in zip(columns.names, NAMES, strict=True)]
    return frame.select(*renamed, lines.alias("line"), pl.lit(None, pl.String).alias("fault"))


def _read_csv_fast(content: Content, columns: Columns, header: list[str], separator: str) -> pl.DataFrame | None:
    """None unless every line is a row with all cells."""
    try:
        # Read all columns: with a selection polars does not notice surplus cells.
        frame = pl.read_csv(content, separator=separator, infer_schema=False, encoding="utf8-lossy", glob=False)
    except (OSError, pl.exceptions.PolarsError):
        return None
    # A row with too few cells has null in the last column.
    checked = list(dict.fromkeys((*columns.names, header[-1])))
    if frame.columns != header or 1 + frame.height != count_lines(content) or _has_null(frame.select(checked)):
        return None
    return _number_rows(frame, columns, first=2)


def _read_csv_by_line(content: Content, columns: Columns, header: list[str], separator: str) -> pl.DataFrame:
    user, item, time = (header.index(name) for name in columns.names)

    def iter_rows() -> Iterator[Row]:
        for line, cells in islice(parse_csv(read_lines(content), separator), 1, None):
            if isinstance(cells, RowFault):
                yield None, None, None, line, cells.reason
            else:
                yield cells[user], cells[item], cells[time], line, None

    return _collect_rows(iter_rows())


def _read_json_fast(content: Content, columns: Columns) -> pl.DataFrame | None:
    """None unless every line is an object with all three values and ids that are surely strings or integers."""
    try:
        frame = pl.read_ndjson(content, schema=dict.fromkeys(columns.names, pl.String))
    except (OSError, pl.exceptions.PolarsError):
        return None
    if frame.height != count_lines(content) or _has_null(frame):
        return None
    is_doubtful = pl.any_horizontal(pl.col(columns.user, columns.item).str.contains(DOUBTFUL_JSON_ID).any())
    return None if frame.select(is_doubtful).item() else _number_rows(frame, columns, first=1)


def _read_json_by_line(file: DataFile, content: Content, columns: Columns) -> pl.DataFrame:
    first: dict[str, Any] | None = None
    present: set[str] = set()

    def iter_rows() -> Iterator[Row]:
        nonlocal first
        for line, row in parse_json_lines(read_lines(content)):
            if isinstance(row, RowFault):
                yield None, None, None, line, row.reason
                continue
            first = row if first is None else first
            present.update(name for name in columns.names if name in row)
            time = row.get(columns.time)
            try:
                user, item = (parse_json_id(row.get(name), name) for name in (columns.user, columns.item))
            except ValueError as error:
                yield None, None, None, line, str(error)
            else:
                yield user, item, None if time is None else replace_lone_surrogates(str(time)), line, None

    rows = _collect_rows(iter_rows())
    if first is not None:
        check_columns(str(file), [name for name in columns.names if name not in present], list(first))
    elif next(read_lines(content)).lstrip().startswith("["):
        raise BadInput(f"{file}: the file is a JSON array; write one object per line")
    return rows


def _collect_rows(rows: Iterator[Row]) -> pl.DataFrame:
    parts = [pl.DataFrame(schema=ROW_SCHEMA)]
    while chunk := list(islice(rows, CHUNK_ROWS)):
        parts.append(pl.DataFrame(chunk, schema=ROW_SCHEMA, orient="row"))
    return pl.concat(parts)


def _has_null(frame: pl.DataFrame) -> bool:
    return any(series.null_count() for series in frame)
