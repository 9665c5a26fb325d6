"""Rows of item files of any format, with the columns that a reader selects."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import polars as pl

from models.data.bad_rows import BadInput, MissingColumn
from models.data.column_names import suggest_columns
from models.data.columns import Columns, find_column
from models.data.content import open_content, read_lines
from models.data.fields import FLOAT_ID
from models.data.formats import DataFile
from models.data.layouts import detect_item_layout
from models.data.read_options import ReadOptions
from models.data.text_rows import RowFault, parse_json_lines, parse_rows

CATEGORY_COLUMNS = ("categories", "category", "genres", "genre", "attribute_ids")
_FLOAT_ID = re.compile(FLOAT_ID)

Row = dict[str, Any]
FindColumns = Callable[[str, Columns, Sequence[str]], dict[str, str]]
"""From a file, the columns of the options and those that are present to the column of every target."""


def iter_item_rows(
    file: DataFile, options: ReadOptions, find_columns: FindColumns
) -> Iterator[tuple[int, Row | RowFault]]:
    """Yield (line, values by target) of every row; `find_columns` maps targets to columns, for JSON in every row."""
    if file.format == "parquet":
        yield from enumerate(_iter_parquet_rows(file, options, find_columns), start=1)
        return
    content = open_content(file, options.encoding)
    columns = options.columns or Columns()
    if file.format == "json":
        for line, row in parse_json_lines(read_lines(content)):
            if isinstance(row, RowFault):
                yield line, row
                continue
            names = find_columns(str(file), columns, list(row)) if set(_list_id_names(columns)) & set(row) else {}
            yield line, {target: row[name] for target, name in names.items()} | {"label": names.get("categories")}
        return
    layout, columns = detect_item_layout(file, content, options, _list_id_names(columns))
    names = find_columns(str(file), columns, layout.header)
    positions = {target: layout.header.index(name) for target, name in names.items()}
    rows = parse_rows(read_lines(content), layout.separator, is_quoted=layout.is_quoted, is_padded=layout.is_padded)
    for line, cells in islice(rows, layout.header_rows, None):
        if isinstance(cells, RowFault):
            yield line, cells
            continue
        parsed: Row = {target: cells[position] for target, position in positions.items()}
        yield line, parsed | {"item_id": _FLOAT_ID.sub(r"\1", parsed["item_id"])}


def _iter_parquet_rows(file: DataFile, options: ReadOptions, find_columns: FindColumns) -> Iterator[Row]:
    try:
        scan = pl.scan_parquet(file.path if file.content is None else file.content, glob=False)
        names = find_columns(str(file), options.columns or Columns(), list(scan.collect_schema()))
        selected = [pl.col(name).alias(target) for target, name in names.items()]
        yield from scan.select(selected).collect().iter_rows(named=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: cannot be read: {error}") from error


def find_item_columns(
    file: str, columns: Columns, present: Sequence[str], *, has_header: bool, id_role: str = "items.item"
) -> dict[str, str]:
    """Map `item_id`, and `title` and `categories` where they exist, to the file's columns.

    BadInput if a header lacks a named one; a row of JSON may, except for the id. `id_role` is the role of the id column
    in `--columns` of the caller, for the error if there is none.
    """
    candidates = _list_id_names(columns)
    item = next((name for name in candidates if name in present), candidates[-1])
    suggested = suggest_columns(present).get("item", "…")
    hint = f" (name the id column with --columns {id_role}={suggested})"
    names = {"item_id": find_column(file, item, present, hint=hint)}
    for target, requested, defaults in (
        ("title", columns.title, ("title",)),
        ("categories", columns.categories, CATEGORY_COLUMNS),
    ):
        if requested is not None:
            names |= find_named_column(target, file, requested, present, has_header=has_header)
        else:
            names |= {target: name for name in [each for each in defaults if each in present][:1]}  # noqa: B035
    return names


def find_named_column(target: str, file: str, name: str, present: Sequence[str], *, has_header: bool) -> dict[str, str]:
    """Map a target to the column with this name; empty for a row of JSON without it, BadInput for such a header."""
    try:
        return {target: find_column(file, name, present, hint="")}
    except MissingColumn:
        if has_header:
            raise
        return {}


def _list_id_names(columns: Columns) -> list[str]:
    """Possible names of the id column: the one that is set, else that of the log, else the default."""
    if columns.catalogue_item is not None:
        return [columns.catalogue_item]
    return list(dict.fromkeys((columns.item, Columns().item)))
