"""Read item files: id, title and categories of every item.

Formats are those of logs. Item files are small and often edited by hand, so every row is checked, and the first bad row
stops the read.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from models.data.bad_rows import BadInput, BadRow
from models.data.column_names import suggest_columns
from models.data.columns import Columns, find_column
from models.data.content import open_content, read_lines
from models.data.fields import FLOAT_ID, MAX_ID_CHARS, REPLACEMENT, parse_json_id, replace_lone_surrogates
from models.data.formats import DataFile, find_file
from models.data.layouts import detect_item_layout
from models.data.read_options import ReadOptions
from models.data.text_rows import RowFault, parse_json_lines, parse_rows

CATEGORY_COLUMNS = ("categories", "category", "genres", "genre", "attribute_ids")
CATEGORY_SEPARATOR = "|"
ITEM_SCHEMA = pl.Schema([("item_id", pl.String()), ("title", pl.String()), ("categories", pl.List(pl.String()))])
_FLOAT_ID = re.compile(FLOAT_ID)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ItemMatches:
    """How many of the log's items an items file describes; `describe` warns if there are none."""

    file: str
    num_matches: int
    num_items: int
    log_id: str
    file_id: str

    def describe(self) -> str | None:
        if self.num_matches:
            return None
        return (
            f"{self.file} describes none of the {self.num_items:,} items of the log: the log has ids such as "
            f"{self.log_id!r}, the file {self.file_id!r}; name its id column with --columns items.item=NAME"
        )


def read_items(path: Path | str, options: ReadOptions | None = None) -> pl.DataFrame:
    """Read `item_id` String, `title` String or null, `categories` List(String), in file order.

    The first row of a duplicate item wins. Categories are a list, or text separated by `|`. The columns are those of
    `options`; by default the id is that of the log or `item_id`, and categories are the first of CATEGORY_COLUMNS that
    exists; titles are optional. BadInput names file and line.
    """
    options = options or ReadOptions()
    file = find_file(path)
    items: dict[str, tuple[str, str | None, list[str]]] = {}
    for line, row in _iter_rows(file, options):
        try:
            if isinstance(row, RowFault):
                raise ValueError(row.reason)
            item_id = _parse_item_id(row)
            items.setdefault(item_id, (item_id, _parse_text(row.get("title"), "title"), _parse_categories(row)))
        except ValueError as error:
            raise BadInput(str(BadRow(str(file), line, str(error)))) from error
    if not items:
        raise BadInput(f"{file}: the file has no items")
    return pl.DataFrame(list(items.values()), schema=ITEM_SCHEMA, orient="row")


def match_items(file: Path | str, item_ids: Sequence[str], items: pl.DataFrame) -> ItemMatches:
    """Count the items of a log that an items file describes."""
    described = set(items["item_id"].to_list())
    num_matches = sum(item_id in described for item_id in item_ids)
    return ItemMatches(str(file), num_matches, len(item_ids), item_ids[0], str(items["item_id"][0]))


def _iter_rows(file: DataFile, options: ReadOptions) -> Iterator[tuple[int, Row | RowFault]]:
    if file.format == "parquet":
        yield from enumerate(_iter_parquet_rows(file, options), start=1)
        return
    content = open_content(file, options.encoding)
    columns = options.columns or Columns()
    if file.format == "json":
        for line, row in parse_json_lines(read_lines(content)):
            if isinstance(row, RowFault):
                yield line, row
                continue
            names = find_item_columns(str(file), columns, list(row)) if set(_list_id_names(columns)) & set(row) else {}
            yield line, {target: row[name] for target, name in names.items()} | {"label": names.get("categories")}
        return
    layout, columns = detect_item_layout(file, content, options, _list_id_names(columns))
    names = find_item_columns(str(file), columns, layout.header)
    positions = {target: layout.header.index(name) for target, name in names.items()}
    rows = parse_rows(read_lines(content), layout.separator, is_quoted=layout.is_quoted, is_padded=layout.is_padded)
    for line, cells in islice(rows, layout.header_rows, None):
        if isinstance(cells, RowFault):
            yield line, cells
            continue
        parsed: Row = {target: cells[position] for target, position in positions.items()}
        yield line, parsed | {"item_id": _FLOAT_ID.sub(r"\1", parsed["item_id"])}


def _iter_parquet_rows(file: DataFile, options: ReadOptions) -> Iterator[Row]:
    try:
        scan = pl.scan_parquet(file.path, glob=False)
        names = find_item_columns(str(file), options.columns or Columns(), list(scan.collect_schema()))
        selected = [pl.col(name).alias(target) for target, name in names.items()]
        yield from scan.select(selected).collect().iter_rows(named=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: cannot be read: {error}") from error


def find_item_columns(file: str, columns: Columns, present: Sequence[str]) -> dict[str, str]:
    """Map `item_id`, and `title` and `categories` where they exist, to the file's columns."""
    candidates = _list_id_names(columns)
    item = next((name for name in candidates if name in present), candidates[-1])
    suggested = suggest_columns(present).get("item")
    hint = "" if suggested is None else f" (name the id column with --columns items.item={suggested})"
    names = {"item_id": find_column(file, item, present, hint=hint)}
    for target, requested, defaults in (
        ("title", columns.title, ("title",)),
        ("categories", columns.categories, CATEGORY_COLUMNS),
    ):
        if requested is not None:
            names[target] = find_column(file, requested, present, hint="")
        else:
            names |= {target: name for name in [each for each in defaults if each in present][:1]}  # noqa: B035
    return names


def _list_id_names(columns: Columns) -> list[str]:
    """Possible names of the id column: the one that is set, else that of the log, else the default."""
    if columns.catalogue_item is not None:
        return [columns.catalogue_item]
    return list(dict.fromkeys((columns.item, Columns().item)))


def _parse_item_id(row: Row) -> str:
    item_id = parse_json_id(row.get("item_id"), "item_id")
    if not item_id:
        raise ValueError("no item_id")
    if len(item_id) > MAX_ID_CHARS:
        raise ValueError(f"item_id is longer than {MAX_ID_CHARS} characters")
    return _parse_text(item_id, "item_id") or ""


def _parse_categories(row: Row) -> list[str]:
    value, label = row.get("categories"), str(row.get("label", "categories"))
    if isinstance(value, str):
        value = value.split(CATEGORY_SEPARATOR)
    if not isinstance(value, list):
        value = [value]
    texts = [(_parse_text(part, label) or "").strip() for part in value]
    return list(dict.fromkeys(text for text in texts if text))


def _parse_text(value: object, name: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} is neither text nor a number")
    text = replace_lone_surrogates(str(value))
    if REPLACEMENT in text:
        raise ValueError(f"{name} is not valid UTF-8; if the file has another encoding, pass --encoding")
    return text
