"""The three columns of one log file as they stand there, before anybody judges them, with their line numbers.

A file without faults is read by polars in one go. Where polars would be silent or wrong about a line (rows that lack
cells, quotes that swallow lines, ids that are no ids), the file is read again row by row. It knows what a row is and
nothing of what its values mean.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import polars as pl

from models.data.bad_rows import BadInput
from models.data.columns import Columns, check_columns
from models.data.formats import Content, DataFile, count_lines, open_content, read_lines
from models.data.ids import can_be_id, id_text, whole_text
from models.data.text_rows import SEPARATORS, Problem, csv_rows, json_rows, read_header
from models.data.timestamps import can_be_time

ROWS = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.String, "line": pl.Int64, "problem": pl.String}
NAMES = ("user_id", "item_id", "timestamp")
CHUNK_ROWS = 100_000
# What polars may have made of a JSON id that is no string and no integer, or of half a surrogate pair ("\0").
DOUBTFUL_JSON_ID = r"(?s)^(?:true|false|-?[0-9]+\.[0-9]+|[\[{].*|.*\x00.*)$"

Row = tuple[str | None, str | None, str | None, int, str | None]


def read_log_rows(file: DataFile, columns: Columns) -> pl.DataFrame:
    """`user_id`, `item_id` String; `timestamp` of the type that it has; `line` from 1, in Parquet the number of the
    row; `problem` String, not null where there is no row to speak of. BadInput for a file that is none.
    """
    if file.format == "parquet":
        return _read_parquet(file, columns)
    content = open_content(file)
    if file.format == "json":
        rows = _read_json_at_once(content, columns)
        return _read_json_by_line(file, content, columns) if rows is None else rows
    separator = SEPARATORS[file.format]
    header = read_header(file, content)
    check_columns(str(file), columns.names, header)
    rows = _read_csv_at_once(content, columns, header, separator)
    return _read_csv_by_line(content, columns, header, separator) if rows is None else rows


def _read_parquet(file: DataFile, columns: Columns) -> pl.DataFrame:
    try:
        scan = pl.scan_parquet(file.path, glob=False)
        schema = scan.collect_schema()
        check_columns(str(file), columns.names, list(schema))
        for name in (columns.user, columns.item):
            if not can_be_id(schema[name]):
                raise BadInput(f"{file}: column {name!r} is {schema[name]}; ids are strings or integers")
        if not can_be_time(schema[columns.time]):
            raise BadInput(f"{file}: column {columns.time!r} is {schema[columns.time]}, which is no time")
        found = scan.select(columns.names).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: cannot be read: {error}") from error
    return _numbered(found, columns, first=1).with_columns(pl.col("user_id", "item_id").cast(pl.String))


def _numbered(found: pl.DataFrame, columns: Columns, *, first: int) -> pl.DataFrame:
    lines = pl.int_range(first, first + found.height, dtype=pl.Int64, eager=True)
    renamed = [pl.col(there).alias(here) for there, here in zip(columns.names, NAMES, strict=True)]
    return found.select(*renamed, lines.alias("line"), pl.lit(None, pl.String).alias("problem"))


def _read_csv_at_once(content: Content, columns: Columns, header: list[str], separator: str) -> pl.DataFrame | None:
    """None unless every line is a row with all cells."""
    try:
        # All columns, because polars does not see surplus cells when it is asked for some of them.
        found = pl.read_csv(content, separator=separator, infer_schema=False, encoding="utf8-lossy", glob=False)
    except (OSError, pl.exceptions.PolarsError):
        return None
    # A row that is short of cells has null in the last column.
    wanted = list(dict.fromkeys((*columns.names, header[-1])))
    if found.columns != header or 1 + found.height != count_lines(content) or _has_null(found.select(wanted)):
        return None
    return _numbered(found, columns, first=2)


def _read_csv_by_line(content: Content, columns: Columns, header: list[str], separator: str) -> pl.DataFrame:
    user, item, time = (header.index(name) for name in columns.names)

    def rows() -> Iterator[Row]:
        for line, cells in islice(csv_rows(read_lines(content), separator), 1, None):
            if isinstance(cells, Problem):
                yield None, None, None, line, cells.reason
            else:
                yield cells[user], cells[item], cells[time], line, None

    return _gathered(rows())


def _read_json_at_once(content: Content, columns: Columns) -> pl.DataFrame | None:
    """None unless every line is one object with all three and its ids must have been strings or integers."""
    try:
        found = pl.read_ndjson(content, schema=dict.fromkeys(columns.names, pl.String))
    except (OSError, pl.exceptions.PolarsError):
        return None
    if found.height != count_lines(content) or _has_null(found):
        return None
    doubtful = pl.any_horizontal(pl.col(columns.user, columns.item).str.contains(DOUBTFUL_JSON_ID).any())
    return None if found.select(doubtful).item() else _numbered(found, columns, first=1)


def _read_json_by_line(file: DataFile, content: Content, columns: Columns) -> pl.DataFrame:
    first: dict[str, Any] | None = None
    met: set[str] = set()

    def rows() -> Iterator[Row]:
        nonlocal first
        for line, row in json_rows(read_lines(content)):
            if isinstance(row, Problem):
                yield None, None, None, line, row.reason
                continue
            first = row if first is None else first
            met.update(name for name in columns.names if name in row)
            time = row.get(columns.time)
            try:
                user, item = id_text(row.get(columns.user), columns.user), id_text(row.get(columns.item), columns.item)
            except ValueError as error:
                yield None, None, None, line, str(error)
            else:
                yield user, item, None if time is None else whole_text(str(time)), line, None

    found = _gathered(rows())
    if first is not None:
        check_columns(str(file), [name for name in columns.names if name not in met], list(first))
    elif next(read_lines(content)).lstrip().startswith("["):
        raise BadInput(f"{file}: a JSON array; one object per line is needed")
    return found


def _gathered(rows: Iterator[Row]) -> pl.DataFrame:
    parts = [pl.DataFrame(schema=ROWS)]
    while chunk := list(islice(rows, CHUNK_ROWS)):
        parts.append(pl.DataFrame(chunk, schema=ROWS, orient="row"))
    return pl.concat(parts)


def _has_null(frame: pl.DataFrame) -> bool:
    return any(series.null_count() for series in frame)
