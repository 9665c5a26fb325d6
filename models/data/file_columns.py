"""Find the columns of a log file; check them in all files before the rows of the first one are read."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from models.data.bad_rows import BadInput
from models.data.columns import Columns
from models.data.content import Content, describe_unreadable, read_start
from models.data.fields import is_id_type
from models.data.formats import DataFile
from models.data.json_rows import find_keys, list_keys, sample_objects
from models.data.layouts import TextLayout, describe_rename, detect_layout
from models.data.public_formats import find_layout
from models.data.read_options import ReadOptions
from models.data.time_values import is_time_type

Names = dict[str, str]
"""Name of the column of each role."""


def check_header(file: DataFile, options: ReadOptions) -> None:
    """Check that a file has the columns, by its first lines; BadInput as reading the file would raise it."""
    if file.format == "parquet":
        find_parquet_columns(file, options)
        return
    start = read_start(file, options.encoding)
    if start is None:  # known only when the whole file is decompressed
        return
    if file.format == "json":
        find_json_columns(file, sample_objects(str(file), start), options)
    else:
        find_text_columns(file, start, options)


def find_text_columns(file: DataFile, content: Content, options: ReadOptions) -> tuple[TextLayout, ReadOptions, Names]:
    """Layout of a delimited text, options with the columns of its format, and names; BadInput if one is missing."""
    layout, options = detect_layout(file, content, options)
    needs_time = not options.file_order
    hint = describe_rename(options.columns or Columns(), layout.header, layout.separator, needs_time=needs_time)
    columns = options.columns or Columns()
    return layout, options, columns.find(str(file), layout.header, needs_time=needs_time, hint=hint)


def find_json_columns(
    file: DataFile, objects: Sequence[dict[str, Any]], options: ReadOptions
) -> tuple[ReadOptions, Names]:
    """Options with the columns of the format, and names; `objects` are those of the first lines."""
    options = _apply_format(file, list_keys(objects), options)
    columns = options.columns or Columns()
    return options, find_keys(str(file), columns, objects, needs_time=not options.file_order)


def find_parquet_columns(file: DataFile, options: ReadOptions) -> tuple[pl.LazyFrame, ReadOptions, Names]:
    """The unread table, options with the columns of the format, and names; BadInput if a column has another type."""
    scan, schema = _scan_parquet(file)
    options = _apply_format(file, list(schema), options)
    columns, needs_time = options.columns or Columns(), not options.file_order
    hint = describe_rename(columns, list(schema), None, needs_time=needs_time)
    names = columns.find(str(file), list(schema), needs_time=needs_time, hint=hint)
    for role in ("user", "item"):
        if not is_id_type(schema[names[role]]):
            raise BadInput(f"{file}: column {names[role]!r} is {schema[names[role]]}; ids must be strings or integers")
    if needs_time and not is_time_type(schema[names["time"]]):
        raise BadInput(
            f"{file}: column {names['time']!r} is {schema[names['time']]}, which is not a time type; it must be a "
            "number, text, a date, or a date and time"
        )
    return scan, options, names


def read_parquet_head(file: DataFile, num_rows: int) -> pl.DataFrame:
    """Read all columns of the first rows; BadInput if the file cannot be read."""
    scan, _ = _scan_parquet(file)
    try:
        return scan.head(num_rows).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise describe_unreadable_parquet(file, error) from error


def _scan_parquet(file: DataFile) -> tuple[pl.LazyFrame, pl.Schema]:
    try:
        scan = pl.scan_parquet(file.path if file.content is None else io.BytesIO(file.content), glob=False)
        return scan, scan.collect_schema()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise describe_unreadable_parquet(file, error) from error


def describe_unreadable_parquet(file: DataFile, error: Exception) -> BadInput:
    if isinstance(error, OSError) and error.errno is not None:
        return describe_unreadable(file, error)
    reason = str(error).removeprefix("parquet: ").splitlines()[0] if str(error) else type(error).__name__
    return BadInput(f"{file}: cannot be read as Parquet: {reason}; it is cut or damaged, so copy or export it again")


def _apply_format(file: DataFile, header: list[str], options: ReadOptions) -> ReadOptions:
    """Take the columns from the format; only files with named columns come here."""
    if options.format is None or options.columns is not None:
        return options
    public = find_layout(options.format, str(file), header, None)
    return replace(options, columns=public.columns, file_order=options.file_order or public.has_order_only)
